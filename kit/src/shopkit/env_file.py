"""Let shell scripts read `.env` files as the services do: `python -m shopkit.env_file PORT services/cart-service …`

It writes a line for each folder, empty if the setting is not there.
"""

import sys
from pathlib import Path

from dotenv import dotenv_values


def read(name: str, folder: Path) -> str:
    """A setting in a folder's `.env`, without line breaks."""
    return " ".join((dotenv_values(folder / ".env").get(name) or "").split())


if __name__ == "__main__":
    for folder in sys.argv[2:]:
        sys.stdout.write(read(sys.argv[1], Path(folder)) + "\n")
