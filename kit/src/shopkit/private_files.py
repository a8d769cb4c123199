"""What the shop writes is for its owner's eyes only: databases, ledgers, logs."""

import os
from contextlib import suppress
from pathlib import Path


def keep_private(*folders: str) -> None:
    """From now on this process writes files that nobody else can read; and those in these folders are made so."""
    os.umask(0o077)
    for folder in map(Path, folders):
        for path in (folder, *folder.rglob("*")):
            with suppress(FileNotFoundError, PermissionError):  # it has just gone, or is not ours
                path.chmod(path.stat().st_mode & ~0o077)
