"""HTTP/1.1 as clients may speak it to us: requests that can be read in one way only, and that come in time.

gunicorn's parser, but stricter wherever two servers in a row could disagree about where a request ends (RFC 9112,
section 11.2), and patient for so long and no longer.
"""

import math
import re
import time
from typing import Any

from gevent import Timeout, sleep
from gunicorn.http import message
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidHeader,
    InvalidHTTPVersion,
    InvalidRequestLine,
    NoMoreData,
    ParseException,
)
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

MAX_HEAD_BYTES = 32 * 1024
MAX_UNREAD_BYTES = 64 * 1024  # of a body nobody wants: so much is read for the sake of the connection
SLOWEST_BODY = 1000  # bytes a second
SMALL_CHUNK = 64  # bytes: most chunks, but for the first thousand, have to be larger

# Each says how long the body is, and may be spelt in one way only: no other codings, signs, lists or tabs.
_ODD_LENGTH = re.compile(rb"(?im)^(?:transfer-encoding:(?! ?chunked\r?$)|content-length:(?! ?[0-9]{1,15}\r?$))")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class TooSlow(ParseException):
    """The head of a request did not arrive in time."""


class Unreader(SocketUnreader):
    """What a client sends. Who is to wait for it says for how long: `expect`."""

    owes_continue = False  # the client waits for a word before it sends its body

    def expect(self, seconds: float, slowest: float = math.inf) -> None:
        """From now on wait at most `seconds` in all; each byte adds 1 / `slowest` seconds, up to `seconds` again.

        Only waiting counts, not what happens between two reads.
        """
        self._seconds = self._left = seconds
        self._slowest = slowest

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Read what is there, or wait for it.

        :raise TimeoutError: nothing came in time.
        :raise NoMoreData: the client has hung up in its body, which gunicorn would take for a shorter one.
        """
        is_body = self._slowest < math.inf
        if self.owes_continue:
            self.owes_continue = False
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if is_body:
            sleep(0)  # who sends a body fast must not keep the others waiting
        begin = time.monotonic()
        with Timeout(self._left, TimeoutError):
            data: bytes = super().chunk(size_hint)
        if is_body and not data:
            raise NoMoreData
        left = self._left - (time.monotonic() - begin) + len(data) / self._slowest
        self._left = max(0.0, min(self._seconds, left))
        return data


class Request(message.Request):
    body: Any
    _expected_100_continue: bool

    def parse(self, unreader: Unreader) -> bytes:
        self.max_buffer_headers = MAX_HEAD_BYTES
        rest: bytes = super().parse(unreader)
        hosts = [value for name, value in self.headers if name == "HOST"]  # gunicorn refuses a second one
        if self.version not in ((1, 0), (1, 1)):
            raise InvalidHTTPVersion(self.version)
        if not self.uri.startswith("/") or "#" in self.uri:
            raise InvalidRequestLine("not a path")
        if (self.version == (1, 1) and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            raise InvalidHeader("HOST")
        return rest

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        if _ODD_LENGTH.search(data):
            raise InvalidHeader("the length of the body")
        headers: list[tuple[str, str]] = super().parse_headers(data, from_trailer)
        return headers

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        return {}, []  # nobody's word is taken for what the connection is; gunicorn would parse addresses to find out

    def set_body_reader(self) -> None:
        super().set_body_reader()
        if isinstance(self.body.reader, ChunkedReader):
            self.body = Body(Chunks(self, self.unreader))
        # gunicorn would say it before anybody knows whether the body is wanted.
        self.unreader.owes_continue = self._expected_100_continue
        self._expected_100_continue = False

    def unread(self) -> float:
        """How many bytes of the body may still come."""
        reader = self.body.reader
        if isinstance(reader, LengthReader):
            return reader.length  # type: ignore[no-any-return]
        return math.inf if reader.parser else 0

    def should_close(self) -> bool:
        if self.unread() > (0 if self.unreader.owes_continue else MAX_UNREAD_BYTES):
            self.force_close()
        return super().should_close()  # type: ignore[no-any-return]


class Chunks(ChunkedReader):
    """A body in chunks that are not absurdly small, without extensions: either costs us more than whoever sends it."""

    _spare = 1000 * SMALL_CHUNK  # bytes; each chunk that is smaller uses some up

    def parse_chunk_size(self, unreader: Unreader, data: bytes | None = None) -> tuple[int, bytes | None]:
        line = bytearray(data or b"")
        while b"\r\n" not in line[:10] and len(line) < 10:
            self.read_into(unreader, line)
        if not _CHUNK_SIZE.match(line):
            raise InvalidChunkSize(b"")
        size, rest = super().parse_chunk_size(unreader, line)
        self._spare += size - SMALL_CHUNK
        if self._spare < 0:
            raise InvalidChunkSize(b"")
        return size, rest


class Connection(RequestParser):
    """The requests that come over one connection.

    :param head_seconds: how long the head of a request may take, from its first byte on.
    :param body_seconds: how long a client may pause in its body.
    """

    mesg_class = Request

    def __init__(self, cfg: Any, client: Any, address: Any, head_seconds: float, body_seconds: float) -> None:
        super().__init__(cfg, client, address)
        self.unreader = Unreader(client)
        self._head_seconds = head_seconds
        self._body_seconds = body_seconds

    def begins(self, seconds: float) -> bool:
        """Wait for the first bytes of a request; there are none if the client has hung up.

        :raise TimeoutError: nothing came.
        """
        self.unreader.expect(seconds)
        data = self.unreader.read()
        self.unreader.unread(data)
        return bool(data)

    def __next__(self) -> Request:
        self.unreader.expect(self._head_seconds)
        try:
            request: Request = super().__next__()
        except TimeoutError:
            raise TooSlow from None
        self.unreader.expect(self._body_seconds, SLOWEST_BODY)
        return request
