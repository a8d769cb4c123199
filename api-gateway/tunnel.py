"""WebSockets: once a service has agreed to one, bytes pass both ways untouched."""

import socket
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from flask import Response
from urllib3 import HTTPResponse

from origins import refuse_strangers
from proxy import CHUNK, HangUp, Proxy, relay
from routing import Route
from shopkit.errors import Unavailable
from shopkit.stopping import at_stop

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
IDLE_SECONDS = 60  # Engine.IO lets both sides be heard every 25


class Tunnels:
    """The open WebSockets of this process.

    :param limit: how many there may be.
    :param origins: whose pages may open one, beside our own.
    """

    def __init__(self, proxy: Proxy, limit: int, origins: AbstractSet[str]) -> None:
        self._proxy = proxy
        self._limit = limit
        self._origins = origins
        self._clients: set[socket.socket] = set()
        at_stop(self.close_all)

    def open(self, route: Route) -> Response:
        """Ask the service for a WebSocket; if it has another answer, that is an ordinary one.

        So nobody gets a bare connection to a service but by the service's own word.
        """
        refuse_strangers(self._origins)
        if len(self._clients) >= self._limit:
            raise Unavailable("Too many people are connected at the moment; try again.")
        answer = self._proxy.send(route, UPGRADE)
        return Tunnel(self, answer) if answer.status == 101 else relay(route, answer)

    def splice(self, client: socket.socket, answer: HTTPResponse) -> None:
        """Pass bytes between client and service until one of them has had enough."""
        below: Any = answer  # under what urllib3 promises: its connection, and the reader that has read the 101
        service, read = below.connection.sock, below._original_response.fp.read1
        for each in (client, service):
            each.settimeout(IDLE_SECONDS)
        self._clients.add(client)
        upload = Thread(target=_pump, args=(client.recv, service), daemon=True)
        upload.start()
        try:
            _pump(read, client)  # not `recv`: the first frames may have come together with the 101
        finally:
            self._clients.discard(client)
            _shut_down(client, service)
            upload.join()

    def close_all(self) -> None:
        """Hang up on everybody, and let nobody in any more."""
        self._limit = 0
        _shut_down(*self._clients)


class Tunnel(Response):
    """The service's 101: passed on like any answer, but then the connection is no longer the server's."""

    def __init__(self, tunnels: Tunnels, answer: HTTPResponse) -> None:
        super().__init__(status=answer.status, headers=list(answer.headers.items()))
        self._tunnels = tunnels
        self._answer = answer

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        client = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        try:
            client.sendall(f"HTTP/1.1 {self.status}\r\n{head}\r\n".encode("latin-1"))
            self._tunnels.splice(client, self._answer)
        finally:
            self._answer.close()
        raise HangUp


def _pump(read: Callable[[int], bytes], sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := read(CHUNK):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _shut_down(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
