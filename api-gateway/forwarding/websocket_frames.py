"""The frames of a WebSocket (RFC 6455, section 5.2), followed as they pass: where they end, how long and how many."""

import math
import time

from shopkit.server import pacing
from shopkit.server.websockets import MAX_MESSAGE_BYTES, Status, Violation

MAX_HEADER_BYTES = 14  # of a frame
# Of a client; who sends more waits, and its bytes stay where they are.
FRAME_RATE = pacing.Rate(burst=400, per_second=20)
MAX_WAIT_SECONDS = 20.0  # if it would have to wait longer, it is cut off
SMALL_PIECE = 512  # bytes of a frame that come at once
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 1.0  # seconds, after a small piece


class FrameParser:
    """Knows when a frame of ours can be put between two.

    :param max_bytes: of one.
    """

    def __init__(self, max_bytes: float = math.inf) -> None:
        self._max_bytes = max_bytes
        self._header = b""  # what there is of one that is not complete
        self._missing = 0  # bytes until the next one

    @property
    def is_between_frames(self) -> bool:
        return not (self._header or self._missing)

    def feed(self, data: bytes) -> int:
        """Look at what passes, and say how many frames began in it.

        :raise Violation: one is too long.
        """
        if self._missing >= len(data):
            self._missing -= len(data)
            return 0
        data, at, number = self._header + data, self._missing, 0
        while size := _frame_size(data, at):
            if size > self._max_bytes:
                raise Violation(Status.TOO_BIG, "a frame is too long")
            at, number = at + size, number + 1
        self._header, self._missing = data[at:], max(0, at - len(data))
        return number


class FrameLimit:
    """How fast a client may send frames, and how long they may be."""

    def __init__(self) -> None:
        self._parser = FrameParser(MAX_MESSAGE_BYTES + MAX_HEADER_BYTES)
        self._bucket = pacing.Bucket(FRAME_RATE, time.monotonic())
        self._pause = 0.0

    def feed(self, data: bytes) -> float:
        """Look at what passes, and say how many seconds it has to wait.

        What is dribbled is gathered, the longer the longer it goes on: a byte costs as much to pass on as a frame.

        :raise Violation: a frame is too long, or there are too many.
        """
        seconds = self._bucket.take(time.monotonic(), self._parser.feed(data))
        if seconds > MAX_WAIT_SECONDS:
            raise Violation(Status.POLICY, "too many frames")
        is_dribbled = len(data) < SMALL_PIECE and not self._parser.is_between_frames
        self._pause = min(LONGEST_PAUSE, 2 * self._pause or SHORTEST_PAUSE) if is_dribbled else 0.0
        return max(seconds, self._pause)


def _frame_size(data: bytes, at: int) -> int:
    """Header and payload, in bytes; 0 if the header is not complete. Clients mask what they send, servers do not."""
    if len(data) < at + 2:
        return 0
    length = data[at + 1] & 0x7F
    end = at + 2 + {126: 2, 127: 8}.get(length, 0)
    if len(data) < end:
        return 0
    key = 4 if data[at + 1] & 0x80 else 0
    return end - at + key + (int.from_bytes(data[at + 2 : end]) if length > 125 else length)
