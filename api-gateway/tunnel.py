"""WebSockets: once a service has agreed to one, bytes pass both ways untouched."""

import socket
import time
from _thread import start_new_thread
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any

from werkzeug import Request

from proxy import CHUNK, Answer, HangUp, Proxy, Reply
from routing import Route
from shopkit.errors import Unavailable
from shopkit.server.shutdown_hooks import at_stop
from shopkit.server.transport import take_over

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
IDLE_SECONDS = 60  # Engine.IO lets both sides be heard every 25
GOODBYE_SECONDS = 1  # for the end of a frame, and for the client's answer to our last one
GOING_AWAY = b"\x88\x02\x03\xe9"  # RFC 6455, sections 5.5.1 and 7.4.1: a Close frame with status 1001


class Tunnels:
    """The open WebSockets of this process; their number is `len()`.

    :param limit: how many there may be, those that are being opened included.
    """

    def __init__(self, proxy: Proxy, limit: int) -> None:
        self._proxy = proxy
        self._places = Semaphore(limit)
        self._open: set[Tunnel] = set()
        self.are_ending = False
        at_stop(self.close_all)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, request: Request, route: Route) -> Reply:
        """Ask the service for a WebSocket.

        Only if it answers 101 does the client get a bare connection to it; any other answer is relayed as always.

        :raise Unavailable: there are as many as there may be, or this process is about to end.
        """
        if self.are_ending or not self._places.acquire(blocking=False):
            raise Unavailable("Too many people are connected at the moment; try again.")
        with ExitStack() as held:
            held.callback(self._places.release)
            answer = self._proxy.send(request, route, UPGRADE)
            if answer.raw.status != 101:
                return self._proxy.relay(answer)
            held.callback(answer.close)
            return Agreement(self, answer, held.pop_all())

    def join(self, client: socket.socket, service: socket.socket, first: bytes) -> None:
        """Send the client the `first` bytes of the service, then pass bytes both ways until one of the two ends it."""
        tunnel = Tunnel(self, client, service)
        self._open.add(tunnel)
        try:
            tunnel.run(first)
        finally:
            self._open.discard(tunnel)

    def close_all(self) -> None:
        """Take leave of everybody, and let nobody in any more; does not wait for it, as signal handlers must not."""
        self.are_ending = True
        start_new_thread(self._take_leave, ())

    def _take_leave(self) -> None:
        for tunnel in list(self._open):
            tunnel.end()
        time.sleep(GOODBYE_SECONDS)
        for tunnel in list(self._open):
            tunnel.hang_up()


class Tunnel:
    """One open WebSocket. Nothing piles up in memory: as long as one side does not read, the other cannot write."""

    def __init__(self, tunnels: Tunnels, client: socket.socket, service: socket.socket) -> None:
        self._tunnels = tunnels
        self._client = client
        self._service = service
        self._frames = Frames()

    def run(self, first: bytes) -> None:
        for each in (self._client, self._service):
            each.settimeout(IDLE_SECONDS)
        upload = Thread(target=self._upload, daemon=True)
        upload.start()
        try:
            self._download(first)
            upload.join(GOODBYE_SECONDS)
        finally:
            self.hang_up()
            upload.join()

    def end(self) -> None:
        """End the download at once, unless a frame is half-way: then it ends by itself after that frame."""
        if self._frames.are_whole:
            _shut_down(self._service)

    def hang_up(self) -> None:
        _shut_down(self._client, self._service)

    def _upload(self) -> None:
        with suppress(OSError):
            for chunk in _chunks(self._client):
                self._service.sendall(chunk)
        with suppress(OSError):
            self._service.shutdown(socket.SHUT_WR)

    def _download(self, first: bytes) -> None:
        """The only one that writes to the client, and so the one that sends the Close frame."""
        with suppress(OSError):
            for chunk in chain([first], _chunks(self._service)):
                self._frames.follow(chunk)
                self._client.sendall(chunk)
                if self._is_over:
                    break
            if self._is_over:
                self._client.sendall(GOING_AWAY)
            self._client.shutdown(socket.SHUT_WR)

    @property
    def _is_over(self) -> bool:
        return self._tunnels.are_ending and self._frames.are_whole


class Frames:
    """Follows the frames of a server (RFC 6455, section 5.2), to know when one of ours can be put between two."""

    def __init__(self) -> None:
        self._header = b""  # what there is of one that is not complete
        self._missing = 0  # bytes until the next one

    @property
    def are_whole(self) -> bool:
        return not (self._header or self._missing)

    def follow(self, data: bytes) -> None:
        if self._missing >= len(data):
            self._missing -= len(data)
            return
        data, at = self._header + data, self._missing
        while size := _frame_size(data, at):
            at += size
        self._header, self._missing = data[at:], max(0, at - len(data))


def _frame_size(data: bytes, at: int) -> int:
    """Header and payload, in bytes; 0 if the header is not complete. Servers do not mask, so there is no key."""
    if len(data) < at + 2:
        return 0
    length = data[at + 1] & 0x7F
    end = at + 2 + {126: 2, 127: 8}.get(length, 0)
    if len(data) < end:
        return 0
    return end - at + (int.from_bytes(data[at + 2 : end]) if length > 125 else length)


class Agreement(Reply):
    """The service's 101: passed on like any answer, but then the connection is no longer the server's.

    :param held: what to give back at the end.
    """

    def __init__(self, tunnels: Tunnels, answer: Answer, held: ExitStack) -> None:
        super().__init__(answer.raw.status, list(answer.raw.headers.items()), [], answer.raw.reason or "")
        self._tunnels = tunnels
        self._raw: Any = answer.raw
        self._held = held

    def start(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        client = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        head = "".join(f"{name}: {text}\r\n" for name, text in self.headers)
        with self._held:
            client.sendall(f"HTTP/1.1 {self.status} {self.reason}\r\n{head}\r\n".encode("latin-1"))
            self._tunnels.join(client, *take_over(self._raw))
        raise HangUp


def _chunks(source: socket.socket) -> Iterator[bytes]:
    """What arrives, until the end or an error: gevent raises in `recv` when another thread shuts the socket down."""
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            yield chunk


def _shut_down(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
