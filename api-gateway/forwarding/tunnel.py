"""WebSockets: once a service has agreed to one, bytes pass both ways untouched, within bounds.

A client's frames are followed as they pass: those that are too long, or too many for too long, end the WebSocket.
"""

import socket
import time
from _thread import start_new_thread
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from threading import Event, Lock, Semaphore, Thread
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug import Request

from forwarding.proxy import Proxy
from forwarding.responses import HangUp, Response, UpstreamResponse
from forwarding.spool import CHUNK
from forwarding.websocket_frames import FrameLimit, FrameParser
from routing import Route
from shopkit.addresses import network
from shopkit.errors import TooManyRequests, Unavailable
from shopkit.server import handshakes
from shopkit.server.shutdown_hooks import at_stop
from shopkit.server.transport import take_over
from shopkit.server.websockets import Status, Violation, close_frame

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
IDLE_SECONDS = 60  # Engine.IO lets both sides be heard every 25
CLOSING_SECONDS = 1  # for the end of a frame, and for the client's answer to our last one
GOING_AWAY = close_frame(Status.GOING_AWAY)


class Tunnels:
    """The open WebSockets of this process; their number is `len()`.

    :param limit: how many there may be, those that are being opened included.
    :param limit_per_address: how many of them from one address.
    """

    def __init__(self, proxy: Proxy, limit: int, limit_per_address: int) -> None:
        self._proxy = proxy
        self._places = Semaphore(limit)
        self._limit_per_address = limit_per_address
        self._of_address: Counter[str] = Counter()
        self._lock = Lock()
        self._open: set[Tunnel] = set()
        self.is_shutting_down = False
        at_stop(self.close_all)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, request: Request, route: Route) -> Response:
        """Ask the service for a WebSocket.

        Only if it answers 101 does the client get a bare connection to it; any other answer is relayed as always.

        :raise BadRequest: this is no proper handshake; of another version it is `UpgradeRequired`.
        :raise TooManyRequests: its address has as many as it may.
        :raise Unavailable: there are as many as there may be, or this process is about to end.
        """
        handshakes.check(request.environ)
        if self.is_shutting_down or not self._places.acquire(blocking=False):
            raise Unavailable("Too many people are connected at the moment; try again.")
        with ExitStack() as held:
            held.callback(self._places.release)
            held.enter_context(self._counted(network(request.remote_addr or "")))
            upstream = self._proxy.send(request, route, UPGRADE)
            if upstream.raw.status != 101:
                return self._proxy.relay(upstream)
            held.callback(upstream.close)
            return SwitchingProtocols(self, upstream, held.pop_all())

    @contextmanager
    def _counted(self, address: str) -> Iterator[None]:
        with self._lock:
            if self._of_address[address] >= self._limit_per_address:
                raise TooManyRequests("Too many are connected from your address; close one.", {"Retry-After": "10"})
            self._of_address[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._of_address[address] -= 1
                self._of_address += Counter()  # without those that have none

    def join(self, client: socket.socket, service: socket.socket, first: bytes) -> None:
        """Send the client the `first` bytes of the service, then pass bytes both ways until one of the two ends it."""
        tunnel = Tunnel(self, client, service)
        self._open.add(tunnel)
        try:
            tunnel.run(first)
        finally:
            self._open.discard(tunnel)

    def close_all(self) -> None:
        """End all, and open no more; does not wait until they have ended, as signal handlers must not wait."""
        self.is_shutting_down = True
        start_new_thread(self._close_all, ())

    def _close_all(self) -> None:
        for tunnel in list(self._open):
            tunnel.end()
        time.sleep(CLOSING_SECONDS)
        for tunnel in list(self._open):
            tunnel.hang_up()


class Tunnel:
    """One open WebSocket. Nothing piles up in memory: as long as one side does not read, the other cannot write."""

    def __init__(self, tunnels: Tunnels, client: socket.socket, service: socket.socket) -> None:
        self._tunnels = tunnels
        self._client = client
        self._service = service
        self._downloaded = FrameParser()
        self._limit = FrameLimit()
        self._is_done = Event()
        self._refusal = b""  # what the client is told if it breaks a rule

    def run(self, first: bytes) -> None:
        for each in (self._client, self._service):
            each.settimeout(IDLE_SECONDS)
        upload = Thread(target=self._upload, daemon=True)
        upload.start()
        try:
            self._download(first)
            upload.join(CLOSING_SECONDS)
        finally:
            self._is_done.set()
            self.hang_up()
            upload.join()

    def end(self) -> None:
        """End the download at once, unless a frame is half-way: then it ends by itself after that frame."""
        if self._downloaded.is_between_frames:
            _shut_down(self._service)

    def hang_up(self) -> None:
        _shut_down(self._client, self._service)

    def _upload(self) -> None:
        with suppress(OSError):
            try:
                self._pass_up()
            except Violation as violation:
                self._refuse(violation)
        with suppress(OSError):
            self._service.shutdown(socket.SHUT_WR)

    def _pass_up(self) -> None:
        for chunk in _received(self._client):
            self._is_done.wait(self._limit.feed(chunk))
            self._service.sendall(chunk)

    def _refuse(self, violation: Violation) -> None:
        """The download says so, and ends, as if this process were about to."""
        self._refusal = close_frame(violation.status, violation.reason)
        self.end()

    def _download(self, first: bytes) -> None:
        """The only one that writes to the client, and so the one that sends the Close frame."""
        with suppress(OSError):
            for chunk in chain([first], _received(self._service)):
                self._downloaded.feed(chunk)
                self._client.sendall(chunk)
                if self._is_over:
                    break
            if self._is_over:
                self._client.sendall(self._refusal or GOING_AWAY)
            self._client.shutdown(socket.SHUT_WR)

    @property
    def _is_over(self) -> bool:
        return (self._tunnels.is_shutting_down or bool(self._refusal)) and self._downloaded.is_between_frames


class SwitchingProtocols(Response):
    """The service's 101: passed on like any answer, but then the connection is no longer the server's.

    :param held: what to give back at the end.
    """

    def __init__(self, tunnels: Tunnels, upstream: UpstreamResponse, held: ExitStack) -> None:
        super().__init__(upstream.raw.status, list(upstream.raw.headers.items()), [], upstream.raw.reason or "")
        self._tunnels = tunnels
        self._raw: Any = upstream.raw
        self._held = held

    def start(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        client = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        head = "".join(f"{name}: {text}\r\n" for name, text in self.headers)
        with self._held:
            client.sendall(f"HTTP/1.1 {self.status} {self.reason}\r\n{head}\r\n".encode("latin-1"))
            self._tunnels.join(client, *take_over(self._raw))
        raise HangUp


def _received(source: socket.socket) -> Iterator[bytes]:
    """What arrives, until the end or an error: gevent raises in `recv` when another thread shuts the socket down."""
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            yield chunk


def _shut_down(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
