"""HTTP/1.1 as clients may speak it to us: requests that can be read in one way only, and that come in time.

gunicorn's parser, but stricter wherever two servers in a row could disagree about where a request ends (RFC 9112,
section 11.2), and patient for so long and no longer.
"""

import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import sleep
from gunicorn.http import message
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidHeader,
    InvalidHTTPVersion,
    InvalidRequestLine,
    NoMoreData,
)
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

from shopkit.server.connections import Connections, Peer
from shopkit.server.refusals import TooSlow

MAX_HEAD_BYTES = 32 * 1024
MAX_UNREAD_BYTES = 64 * 1024  # of a body nobody wants: so much is read for the sake of the connection
SLOWEST_BODY = 1000  # bytes a second
MAX_LOOK_AHEAD = 128 * 1024
SMALL_PIECE = 512  # bytes that come at once
AT_ONCE = 50e-6  # seconds: less than it takes to let others go on, so that what came in this time was there already
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 1.0  # seconds, after a small piece
SMALL_CHUNK = 64  # bytes: most chunks, but for the first thousand, have to be larger

# Each says how long the body is, and may be spelt in one way only: no other codings, signs, lists or tabs.
_ODD_LENGTH = re.compile(rb"(?im)^(?:transfer-encoding:(?! ?chunked\r?$)|content-length:(?! ?[0-9]{1,15}\r?$))")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")
_ORIGIN = re.compile(rb"(?i)\r\norigin:[ \t]*([\x21-\x7e]{1,255})[ \t]*\r\n")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Unreader(SocketUnreader):
    """What a client sends. Who is to wait for it says for how long: `expect_request`, `expect_head`, `expect_body`."""

    owes_continue = False  # the client waits for a word before it sends its body
    has_waited = False  # for the last piece

    def __init__(self, client: Any, connections: Connections, peer: Peer) -> None:
        super().__init__(client)
        self._connections = connections
        self._peer = peer
        self._head: list[bytes] = []  # what has come of one that has not ended

    def expect_request(self, seconds: float) -> None:
        """From now on wait at most so long for a request to begin."""
        self._connections.end_request(self._peer)
        self._expect(self._connections.begin_silence, seconds)

    def expect_head(self, seconds: float) -> None:
        """From now on wait at most so long for all that is missing of a head."""
        self._expect(self._connections.begin_wait, seconds)
        self._head = [self.buf.getvalue()]

    def expect_body(self, seconds: float, slowest: float) -> None:
        """From now on wait at most `seconds` in all; each byte adds 1 / `slowest` seconds, up to `seconds` again.

        Only waiting counts, not what happens between two reads.
        """
        if self._peer.held:
            self._connections.release(self._peer)
        self._expect(self._connections.begin_wait, seconds)
        self._slowest = slowest

    def _expect(self, begin_wait: Callable[[Peer], None], seconds: float) -> None:
        self._begin_wait = begin_wait
        self._seconds = self._left = seconds
        self._slowest = math.inf
        self.has_waited = False
        self._pause = 0.0
        self._head = []

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Read what is there, or wait for it.

        :raise TimeoutError: nothing came in time.
        :raise NoMoreData: the client has hung up in its body, which gunicorn would take for a shorter one.
        """
        is_body = self._slowest < math.inf
        if self._head and not self._connections.hold(self._peer, len(self._head[-1])):
            raise TimeoutError
        if self.owes_continue:
            self.owes_continue = False
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._pause:
            self._wait(sleep, min(self._pause, self._left))
            if not self._left:
                raise TimeoutError
        data: bytes = self._wait(super().chunk, size_hint)
        if is_body and not self.has_waited:
            sleep(0)  # who sends a body fast must not keep the others waiting
        if is_body and not data:
            raise NoMoreData
        if self._head:
            self._head.append(data)
        self._note(len(data))
        return data

    @property
    def is_in_head(self) -> bool:
        return bool(self._head)

    def origin(self) -> str | None:
        """Where a browser says that its page comes from, in a head that could not be read; it is looked for further on
        as far as it is there.
        """
        with suppress(OSError):
            self.sock.settimeout(0)
            self._head.append(self.sock.recv(MAX_LOOK_AHEAD))
        found = _ORIGIN.search(b"".join(self._head))
        return found[1].decode() if found else None

    def _wait(self, wait: Callable[[Any], Any], argument: Any) -> Any:
        """:raise TimeoutError: it took too long, or another needs the place."""
        self._begin_wait(self._peer)
        begin = time.monotonic()
        try:
            self.sock.settimeout(self._left)
            return wait(argument)
        except BlockingIOError:
            raise TimeoutError from None  # as sockets say it when there is no time at all
        finally:
            waited = time.monotonic() - begin
            self.has_waited = waited > AT_ONCE
            self._left = max(0.0, self._left - waited)
            self._connections.end_wait(self._peer)

    def _note(self, size: int) -> None:
        self._peer.received += size
        if self._slowest < math.inf:
            self._left = min(self._seconds, self._left + size / self._slowest)
        # What is dribbled is gathered for a while, the longer the longer it goes on: each look at it has its price.
        self._pause = 0.0 if size >= SMALL_PIECE else min(LONGEST_PAUSE, 2 * self._pause or SHORTEST_PAUSE)


class Request(message.Request):
    body: Any
    peer: Peer  # whose it is, once that is known to the server
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
    """The requests that come over one connection."""

    mesg_class = Request
    head_seconds = 10.0  # for the head of a request, from its first byte on
    body_seconds = 30.0  # that a client may pause in its body

    def __init__(self, cfg: Any, client: Any, address: Any, connections: Connections, peer: Peer) -> None:
        super().__init__(cfg, client, address)
        self.unreader = Unreader(client, connections, peer)

    @property
    def is_pipelining(self) -> bool:
        """Whether the request that begins was there before the last one was answered."""
        return self.req_count > 0 and not self.unreader.has_waited

    def begins(self, seconds: float) -> bool:
        """Wait for the first bytes of a request; there are none if the client has hung up.

        :raise TimeoutError: nothing came.
        """
        self.unreader.expect_request(seconds)
        data = self.unreader.read()
        self.unreader.unread(data)
        return bool(data)

    def drain(self, seconds: float) -> bool:
        """Read what is left of a body that nobody wanted, if it is little and comes soon."""
        if self.mesg is None or not (self.mesg.unread() or self.mesg.body.failed):
            return True
        self.unreader.expect_body(seconds, math.inf)
        return bool(self.finish_body(time.monotonic() + seconds))

    def origin(self) -> str | None:
        """Where the page comes from that asks, if a browser says so."""
        if self.unreader.is_in_head:
            return self.unreader.origin()
        return next((text for name, text in self.mesg.headers if name == "ORIGIN"), None) if self.mesg else None

    def __next__(self) -> Request:
        self.unreader.expect_head(self.head_seconds)
        try:
            request: Request = super().__next__()
        except TimeoutError:
            raise TooSlow from None
        self.unreader.expect_body(self.body_seconds, SLOWEST_BODY)
        return request
