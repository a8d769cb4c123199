"""A transport for `requests` that passes on what others say: exactly, strictly, and in few steps.

`requests` and urllib3 are made for clients that speak for themselves. They parse the target and spell it anew, copy
headers and add some, keep cookies, and read answers with the parser for e-mails, which accepts a head that is cut off.
That is most of what a request costs, and none of it is a gateway's business. What remains theirs: the interface of
adapters, pools of connections, the bodies of answers.
"""

import queue
import re
import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from http import client
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPHeaderDict, HTTPResponse, Retry, Timeout
from urllib3.connection import HTTPConnection

from shopkit.server.sockets import MODEST, send_all

POOL_SIZE = 256  # idle connections kept to each address
IDLE_SECONDS = 30.0  # for which they are kept
CLOSED_A_TURN = 2  # that have been kept too long, whenever another one is kept
SEND_SECONDS = 30.0  # as long as a service may take to accept a piece of a body
MAX_HEAD_BYTES = 64 * 1024
MAX_INTERIM_RESPONSES = 20

NO_RETRIES = Retry(False)  # what may be sent again depends on the body, which urllib3 does not look at
NO_BODY = frozenset({204, 304})

_TARGET = ":path"  # travels among the headers: urllib3 would spell it anew anywhere else
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class SlimAdapter(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__(pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        socket_options = [*HTTPConnection.default_socket_options, MODEST]
        super().init_poolmanager(*args, **options, socket_options=socket_options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}
        self._pools: dict[str, HTTPConnectionPool] = {}

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, stream: bool = True, timeout: Timeout | None = None, **unused: object
    ) -> requests.Response:
        """:raise urllib3.exceptions.HTTPError: there is no answer, or none that makes sense."""
        scheme, _, address, target = str(request.url).split("/", 3)
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = self.poolmanager.connection_from_url(f"{scheme}//{address}")
        response = requests.Response.__new__(requests.Response)  # which would begin with a jar for cookies
        response.raw = pool.urlopen(
            str(request.method),
            "/",
            request.body,
            {**request.headers, "Host": address, _TARGET: target},
            NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            chunked=request.body is not None and "Content-Length" not in request.headers,
            preload_content=False,
        )
        response.status_code = response.raw.status
        return response


def take_over(response: HTTPResponse) -> tuple[socket.socket, bytes]:
    """The connection behind a 101, and what the service has said in the same breath."""
    below: Any = response._original_response
    connection: Any = response.connection
    connection.sock.settimeout(0)
    return connection.sock, below.fp.read1(len(below.fp.peek()))


def break_off(response: HTTPResponse) -> None:
    """Let whoever is reading this answer in another thread stop at once: for them it breaks off.

    Without effect once it has been read to its end, because its connection may have another request by then.
    """
    below = response._original_response
    if isinstance(below, _Response) and response.connection is not None:
        with suppress(OSError):
            below.socket.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    @property
    def is_connected(self) -> bool:
        """Whether it can be used again. If there is something to read, the service has closed it or spoken unasked."""
        if self.sock is None:
            return False
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool,
        **_: Any,
    ) -> None:
        """Send a request whose headers are complete, but for the `Transfer-Encoding` of a body in chunks."""
        fields = dict(headers or {})
        target = fields.pop(_TARGET)
        if chunked:
            fields["Transfer-Encoding"] = "chunked"
        head = f"{method} /{target} HTTP/1.1\r\n" + "".join([f"{name}: {text}\r\n" for name, text in fields.items()])
        if not head.count("\r") == head.count("\n") == len(fields) + 1:
            raise ValueError("a line end within a header")
        if self.sock is None:
            self.connect()
        self.sock.settimeout(SEND_SECONDS)
        self._method = method
        self._may_switch = "Upgrade" in fields
        # gunicorn promises to keep a connection, and closes it when the app has left so much of a body unread.
        self._is_used_up = not isinstance(body, bytes | None)
        data = head.encode("latin-1") + b"\r\n"
        if isinstance(body, bytes | None):
            data += body or b""
        send_all(self.sock, data)
        if isinstance(body, bytes | None):
            return
        for chunk in body:
            self.sock.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        self.sock.settimeout(self.timeout)
        below = _Response(self.sock, self._method)
        try:
            below.begin()
            if below.status == client.SWITCHING_PROTOCOLS and not self._may_switch:
                raise client.HTTPException("it changes the protocol unasked")
        except BaseException:  # whatever it was, even the end of this greenlet: nobody else would close it
            below.close()
            raise
        if below.will_close or self._is_used_up:
            self.close()  # `below` keeps the socket open until its body is read
        return HTTPResponse(
            below,
            below.headers,  # type: ignore[arg-type]
            below.status,
            below.version,
            reason=below.reason,
            preload_content=False,
            decode_content=False,
            original_response=below,
            request_method=self._method,
        )


class _IdleConnections:
    """A queue, as urllib3 uses it, that takes last what came first; the original one locks five times a request.

    What a crowd has left is closed after a while: services have closed their ends by then.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._stack: deque[tuple[float, Any]] = deque()  # when each came, the oldest first

    def qsize(self) -> int:
        return len(self._stack)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._stack.pop()[1]
        except IndexError:
            raise queue.Empty from None

    def put(self, connection: Any, block: bool = True) -> None:
        if connection is None:  # a place for one
            return
        if len(self._stack) >= self._maxsize:
            raise queue.Full
        now = time.monotonic()
        self._stack.append((now, connection))
        for _ in range(CLOSED_A_TURN):
            if self._stack[0][0] > now - IDLE_SECONDS:
                return
            self._stack.popleft()[1].close()


class _Pool(HTTPConnectionPool):
    QueueCls = _IdleConnections  # type: ignore[assignment]
    ConnectionCls = _Connection  # type: ignore[assignment]


class _Response(client.HTTPResponse):
    """Reads bodies as `http.client` does, but heads in one go, and refuses those that can be read in two ways."""

    _method: str | None

    def __init__(self, sock: socket.socket, method: str) -> None:
        super().__init__(sock, method=method)
        self.socket = sock

    def begin(self) -> None:
        """:raise HTTPException: the head makes no sense, or ends early."""
        for _ in range(MAX_INTERIM_RESPONSES):
            status_line, *lines = self._head().decode("latin-1").split("\r\n")
            found = _STATUS.fullmatch(status_line)
            if found is None:
                raise client.BadStatusLine(status_line)
            self.version, self.status, self.reason = 10 + int(found[1]), int(found[2]), found[3] or ""
            if self.status >= client.OK or self.status == client.SWITCHING_PROTOCOLS:
                break  # and not, say, 103 Early Hints
        else:
            raise client.HTTPException("the answer proper never came")
        self.headers = self.msg = HTTPHeaderDict(map(_field, lines))  # type: ignore[assignment]
        self._frame()

    def _head(self) -> bytes:
        there: bytes = self.fp.peek(1)  # mostly all of it
        end = there.find(b"\r\n\r\n")
        if end >= 0:
            return self.fp.read(end + 4)[:end]
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            line = self.fp.readline(MAX_HEAD_BYTES)
            head += line
            if not line:
                raise client.RemoteDisconnected("no answer") if not head else client.IncompleteRead(bytes(head))
            if len(head) > MAX_HEAD_BYTES:
                raise client.LineTooLong("head")
        return bytes(head[:-4])

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise ValueError("a chunk of less than nothing")
        return size

    def _frame(self) -> None:
        """Find out where the body ends (RFC 9112, section 6.3)."""
        coding, length = self.headers.get("Transfer-Encoding"), self.headers.get("Content-Length")
        options = self.headers.get("Connection", "").lower()
        self.chunked, self.chunk_left, self.length = coding is not None, None, None
        if coding is not None and (coding.lower() != "chunked" or length is not None):
            raise client.HTTPException("it says twice how long it is")
        if length is not None:
            if not _LENGTH.fullmatch(length):
                raise client.HTTPException("a length that is no number")
            self.length = int(length)
        if self.status in NO_BODY or self.status < client.OK or self._method == "HEAD":
            self.chunked, self.length = False, 0
        is_last = "close" in options if self.version == 11 else "keep-alive" not in options
        self.will_close = is_last or (self.length is None and not self.chunked)


def _field(line: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise client.HTTPException("a line that is no header")
    return found[1], found[2].rstrip(" \t")
