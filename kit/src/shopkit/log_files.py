"""A log of bounded size: standard error is a file, which is set aside when it is full and begun anew.

All processes of a service append to the same file, and so does whatever they print. Each looks once a second whether
another one, or somebody's `mv`, has set it aside, and follows.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

KEPT = 3  # older files: LOG_FILE.1 is the newest of them
_LOOK_SECONDS = 1.0
_OUTPUT = (1, 2)


class LogFile(logging.Handler):
    """Writes lines to standard error, which is the file `path`."""

    def __init__(self, path: str, max_bytes: int) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._room = 0
        self._looked_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode()
            # Also if the clock has been set back since.
            if self._room < len(line) or not 0 <= record.created - self._looked_at < _LOOK_SECONDS:
                self._look(record.created, len(line))
            os.write(2, line)
            self._room -= len(line)
        except Exception:  # as every handler of logging does: a line that cannot be written fails nobody's request
            self.handleError(record)

    def reopen(self) -> None:
        """Write to the file that now has the name."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in _OUTPUT:
            os.dup2(file, descriptor)
        os.close(file)

    def _look(self, moment: float, needed: int) -> None:
        if self._is_full(needed):
            with self._alone():
                if self._is_full(needed):  # still: no other process was faster
                    self._set_aside()
        if not self._is_in_use():
            self.reopen()
        self._room = self._max_bytes - os.fstat(2).st_size
        self._looked_at = moment

    def _is_full(self, needed: int) -> bool:
        used = os.fstat(2).st_size if self._is_in_use() else 0
        return used > 0 and used + needed > self._max_bytes

    def _is_in_use(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(2))  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _set_aside(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")  # noqa: PTH105
        os.replace(self._path, f"{self._path}.1")  # noqa: PTH105

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY)  # noqa: PTH120
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def reopen_all() -> None:
    """For whoever sets files aside by himself, and then sends SIGUSR1."""
    for handler in logging.root.handlers:
        if isinstance(handler, LogFile):
            handler.reopen()
