"""The server's side of WebSockets (RFC 6455), within bounds.

Nothing is read before somebody waits for it, and of a message never more than it may have: the head of each frame says
how long it is, and what would be too long is refused unread. There are no extensions, so nothing is ever inflated.
"""

import math
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from threading import Lock
from typing import Any

MAX_MESSAGE_BYTES = 64 * 1024
MESSAGE_SECONDS = 30.0  # from the first bytes of a message to its end
SEND_SECONDS = 1.0  # for which the last word waits for others who are sending
MOST_OF_CONTROL = 125  # bytes, section 5.5
MOST_OF_REASON = 123
_PIECE = 16 * 1024


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Status(IntEnum):
    """Why a WebSocket ends, section 7.4.1."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009


def close_frame(status: int, reason: str = "") -> bytes:
    """As a server sends it, section 5.5.1."""
    payload = struct.pack(">H", status) + reason.encode()[:MOST_OF_REASON]
    return struct.pack(">BB", 0x80 | Opcode.CLOSE, len(payload)) + payload


class Violation(Exception):
    """The other side does what it must not; the WebSocket ends with this status."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Frames:
    """Reads what a client sends.

    :param receive: `recv` of its socket.
    :param most: bytes of a message, however many frames it comes in.
    """

    def __init__(self, receive: Callable[[int], bytes], most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._receive = receive
        self._most = most
        self._clock = clock
        self._message = bytearray()
        self._is_open = False  # a message has begun, and its last frame is still to come
        self._deadline = math.inf

    def next(self) -> tuple[Opcode, bytes] | None:
        """Read one frame.

        :return: a whole message as TEXT, or a control frame; None for a frame after which a message goes on.
        :raise Violation: it is none that may come now.
        :raise TimeoutError: a message takes too long.
        :raise EOFError: the client has gone.
        """
        is_last, opcode, length = self._head()
        payload = self._payload(length)
        if opcode < Opcode.CLOSE:
            self._message += payload
            self._is_open = not is_last
        if not self._is_open:
            self._deadline = math.inf
        if opcode >= Opcode.CLOSE:
            return opcode, payload
        if not is_last:
            return None
        message = bytes(self._message)
        self._message.clear()
        return Opcode.TEXT, message

    def _head(self) -> tuple[bool, Opcode, int]:
        """What a frame is and how long, section 5.2; nothing of its payload is read if it may not come now."""
        first, second = self._exactly(2)
        if not self._is_open:
            self._deadline = self._clock() + MESSAGE_SECONDS
        is_last, length = bool(first & 0x80), second & 0x7F
        if first & 0x70:
            raise Violation(Status.PROTOCOL_ERROR, "no extension was agreed to")
        if not second & 0x80:
            raise Violation(Status.PROTOCOL_ERROR, "clients mask their frames")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise Violation(Status.PROTOCOL_ERROR, "there is no such opcode") from None
        if opcode >= Opcode.CLOSE:
            if not is_last or length > MOST_OF_CONTROL:
                raise Violation(Status.PROTOCOL_ERROR, "a control frame is short and whole")
        else:
            length = self._length_of_data(opcode, length)
        return is_last, opcode, length

    def _length_of_data(self, opcode: Opcode, length: int) -> int:
        if opcode == Opcode.BINARY:
            raise Violation(Status.UNSUPPORTED, "only text is spoken here")
        if (opcode == Opcode.CONTINUATION) != self._is_open:
            raise Violation(Status.PROTOCOL_ERROR, "a message goes on that has not begun, or begins within another")
        if length > MOST_OF_CONTROL:
            length = self._long(8 if length == 127 else 2)
        if len(self._message) + length > self._most:
            raise Violation(Status.TOO_BIG, f"a message has at most {self._most} bytes")
        return length

    def _long(self, size: int) -> int:
        length = int.from_bytes(self._exactly(size))
        if length < (126 if size == 2 else 65536):
            raise Violation(Status.PROTOCOL_ERROR, "a length is written in as few bytes as it needs")
        return length

    def _payload(self, length: int) -> bytes:
        mask = self._exactly(4)
        masked = self._exactly(length)
        key = int.from_bytes((mask * (length // 4 + 1))[:length])
        return (int.from_bytes(masked) ^ key).to_bytes(length)

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self._receive(min(length - len(data), _PIECE))
            if not piece:
                raise EOFError
            data += piece
            if self._clock() > self._deadline:
                raise TimeoutError
        return bytes(data)


class WebSocket:
    """A WebSocket that was agreed to. One reads from it, others may send.

    :param seconds: of silence, until the client is taken for gone; and until it has taken what it was sent.
    :param before_frame: called before each frame is read; it may wait, or raise `Violation`.
    """

    def __init__(self, sock: Any, most: int, seconds: float, before_frame: Callable[[], None]) -> None:
        sock.settimeout(seconds)
        self._sock = sock
        self._frames = Frames(sock.recv, most)
        self._before_frame = before_frame
        self._lock = Lock()
        self._is_over = False

    def receive(self) -> str | None:
        """The next message; None if there is none any more, for whatever reason, and then the WebSocket is closed."""
        try:
            return self._next_message()
        except Violation as violation:
            self.close(violation.status, violation.reason)
        except (EOFError, OSError):
            self.close()
        return None

    def send(self, text: str) -> None:
        """:raise OSError: the client has gone, or does not read."""
        self._send(Opcode.TEXT, text.encode())

    def close(self, status: int = Status.NORMAL, reason: str = "") -> None:
        """Say why, if that is still possible, and let nobody wait any longer for what comes."""
        if self._is_over:
            return
        end = socket.SHUT_RDWR
        with suppress(OSError):
            if self._lock.acquire(timeout=SEND_SECONDS):
                try:
                    self._sock.sendall(close_frame(status, reason))
                    end = socket.SHUT_RD  # what was said is still to be sent
                finally:
                    self._lock.release()
        self._is_over = True
        with suppress(OSError):
            self._sock.shutdown(end)  # who waits in `recv` goes on

    def _next_message(self) -> str | None:
        while not self._is_over:
            self._before_frame()
            frame = self._frames.next()
            if frame is None:
                continue
            opcode, payload = frame
            if opcode == Opcode.TEXT:
                return _decoded(payload)
            if opcode == Opcode.PING:
                self._send(Opcode.PONG, payload)
            if opcode == Opcode.CLOSE:
                self.close(_status_of(payload))
        return None

    def _send(self, opcode: Opcode, payload: bytes) -> None:
        with self._lock:
            self._send_frame(opcode, payload)

    def _send_frame(self, opcode: Opcode, payload: bytes) -> None:
        if self._is_over:
            raise OSError("the WebSocket is closed")
        length = len(payload)
        if length <= MOST_OF_CONTROL:
            head = struct.pack(">BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        self._sock.sendall(head + payload)


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Violation(Status.INVALID_DATA, "text is UTF-8") from None


def _status_of(payload: bytes) -> int:
    """What to answer to a Close frame: the same if it makes sense, sections 5.5.1 and 7.4."""
    if not payload:
        return Status.NORMAL
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not (code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)):
        raise Violation(Status.PROTOCOL_ERROR, "there is no such status")
    _decoded(payload[2:])
    return code
