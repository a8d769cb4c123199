"""Answers on their way: taken from a service as fast as it gives, and kept until the client takes them.

A client that reads slowly holds memory and some disk of the gateway then, but no slot of a service.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from tempfile import TemporaryFile
from threading import Condition, Lock, Thread
from typing import IO, Protocol

CHUNK = 64 * 1024  # bytes that are read at once
MEMORY_BYTES = 64 * 1024
DISK_BYTES = 16 * 1024 * 1024
SPILL_SECONDS = 0.01  # a client that takes what is in memory within this time needs no file
STALLED_SECONDS = 300.0  # far longer than the server waits for a client: by then it has forgotten to close the body


class Source(Protocol):
    """What an answer is read from."""

    def read(self) -> bytes:
        """Some more, as soon as it is there; nothing at the end."""

    def break_off(self) -> None:
        """Let a `read` in another thread end at once."""

    def close(self) -> None: ...


class DiskSpace:
    """How much all spools may have on disk together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self.used = 0

    def take(self, size: int) -> bool:
        with self._lock:
            if self.used + size > self._limit:
                return False
            self.used += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self.used -= size


class Spool:
    """Reads a source in a thread of its own, which it begins at once; iterating gives what was read.

    What does not fit into memory goes into a file. Once that is full, too, no more is read until the file has been
    emptied, and the source has to wait. Memory is used only while the file is empty, so that nothing overtakes.
    """

    def __init__(self, source: Source, space: DiskSpace) -> None:
        self._source = source
        self._file = _File(space)
        self._memory: deque[bytes] = deque()
        self._in_memory = 0
        self._is_complete = self._is_closed = False
        self._error: Exception | None = None
        self._changed = Condition(Lock())
        Thread(target=self._fill, daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        """:raise Exception: what the source raised, after all that came before."""
        while chunk := self._take():
            yield chunk
        if self._error:
            raise self._error

    def close(self) -> None:
        """Forget what is left, and break off what is still to come."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._memory.clear()
            self._file.close()
            is_complete = self._is_complete
            self._changed.notify_all()
        if not is_complete:
            self._source.break_off()

    def _fill(self) -> None:
        try:
            while (chunk := self._source.read()) and self._put(chunk):
                pass
        except Exception as error:  # whatever it is, it is raised to whoever takes the answer
            self._error = error
        finally:
            self._source.close()
            with self._changed:
                self._is_complete = True
                self._changed.notify_all()

    def _put(self, chunk: bytes) -> bool:
        """Keep this; False if nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_memory() or self._file or self._is_closed, SPILL_SECONDS)
            if not self._has_memory() and not self._is_closed and self._file.append(chunk):
                self._changed.notify_all()
                return True
            if not self._changed.wait_for(lambda: self._has_memory() or self._is_closed, STALLED_SECONDS):
                raise TimeoutError("nobody takes this answer")
            if self._is_closed:
                return False
            self._memory.append(chunk)
            self._in_memory += len(chunk)
            self._changed.notify_all()
            return True

    def _has_memory(self) -> bool:
        return not self._file and self._in_memory < MEMORY_BYTES

    def _take(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._memory or self._file or self._is_complete or self._is_closed)
            if self._memory:
                chunk = b"".join(self._memory)
                self._memory.clear()
                self._in_memory = 0
            else:
                chunk = self._file.read()
            self._changed.notify_all()
            return chunk


class _File:
    """The part of an answer that is on disk; true while there is something in it to be read."""

    def __init__(self, space: DiskSpace) -> None:
        self._space = space
        self._file: IO[bytes] | None = None
        self._begin = self._end = 0

    def __bool__(self) -> bool:
        return self._begin < self._end

    def append(self, data: bytes) -> bool:
        """Whether it could be kept: there is room, and the disk works."""
        if self._end + len(data) > DISK_BYTES or not self._space.take(len(data)):
            return False
        try:
            self._file = self._file or TemporaryFile(buffering=0)  # noqa: SIM115 - open for as long as this
            written = os.pwrite(self._file.fileno(), data, self._end)
        except OSError:  # full, or read-only
            written = 0
        if written < len(data):
            self._space.give_back(len(data))
            return False
        self._end += written
        return True

    def read(self) -> bytes:
        """The next piece; nothing if there is none."""
        if self._file is None or not self:
            return b""
        data = os.pread(self._file.fileno(), min(CHUNK, self._end - self._begin), self._begin)
        if not data:
            raise OSError("the file has become shorter")
        self._begin += len(data)
        if not self:
            self._empty()
        return data

    def close(self) -> None:
        if self._file is not None:
            self._empty()
            self._file.close()
            self._file = None

    def _empty(self) -> None:
        with suppress(OSError):  # the place is used again in any case
            os.ftruncate(self._file.fileno(), 0)  # type: ignore[union-attr]
        self._space.give_back(self._end)
        self._begin = self._end = 0
