"""A worker that holds thousands of connections open, where one of them never takes it from the others."""

import errno
import time
from contextlib import suppress
from functools import lru_cache, partial
from itertools import count
from typing import Any

from gevent import get_hub, getcurrent, killall, sleep, spawn
from gevent.lock import BoundedSemaphore
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.ggevent import GeventWorker

from shopkit import logs
from shopkit.server import edge, memory, refusals, shutdown_hooks
from shopkit.server.connections import Connections, Peer
from shopkit.server.sockets import MODEST, send_all
from shopkit.server.strict_http import Connection

MAX_DRAINED_BYTES = 8 * 1024 * 1024
MAX_LINGERING = 256  # connections that are told why they end; more of them just end
ACCEPTS_A_TURN = 16
SLOWEST_ANSWER = 4000  # bytes a second that a client takes, but for the first `answer_seconds`
SLICE = 64 * 1024  # bytes of an answer, for which a client has `answer_seconds`
LITTLE_TIME = 1.0  # seconds for the few bytes of a refusal
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Response(wsgi.Response):
    """Sends the head of an answer together with the first piece of its body, not as a packet of its own."""

    headers_sent: bool
    _head = b""

    def __init__(self, req: Any, sock: Any, cfg: Any, patience: float) -> None:
        """:param patience: seconds; each byte that the client takes adds some, up to as many again."""
        super().__init__(req, sock, cfg)
        self._patience = self._left = patience

    def default_headers(self) -> list[str]:
        ending = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        return [
            f"HTTP/1.{self.req.version[1]} {self.status}\r\n",
            f"Server: {self.version}\r\nDate: {_date(int(time.time()))}\r\nConnection: {ending}\r\n",
            "Transfer-Encoding: chunked\r\n" if self.chunked else "",
        ]

    def send_headers(self) -> None:
        if not self.headers_sent:
            fields = [f"{name}: {text}\r\n" for name, text in self.headers]
            self._head = "".join([*self.default_headers(), *fields, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        self._send(data)

    def close(self) -> None:
        self.send_headers()
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _send(self, data: bytes) -> None:
        """The data is not copied, but for its first slice: others may be sent the same at this moment."""
        head, self._head = self._head, b""
        self._send_slice(head + data[:SLICE])
        if len(data) > SLICE:
            rest = memoryview(data)
            for begin in range(SLICE, len(data), SLICE):
                self._send_slice(rest[begin : begin + SLICE])

    def _send_slice(self, data: bytes | memoryview) -> None:
        if not data:
            return
        begin = time.monotonic()
        self.sock.settimeout(self._left)
        send_all(self.sock, data)
        left = self._left - (time.monotonic() - begin) + len(data) / SLOWEST_ANSWER
        self._left = max(0.001, min(self._patience, left))


@lru_cache(1)
def _date(second: int) -> str:
    return str(util.http_date(second))


class Worker(GeventWorker):
    """Reads requests strictly and with bounded patience, refuses as the apps do, and stops without delay."""

    head_seconds = 10.0  # from the first byte of a request to the end of its headers
    body_seconds = 30.0  # between two pieces of a body
    # Until a client has taken a piece of an answer. Engine.IO waits as long for what comes over a WebSocket, and so it
    # has to be longer than its pings are apart.
    answer_seconds = 60.0
    drain_seconds = 2.0  # for what a client still sends that nobody wants

    def run(self) -> None:
        """Accept until told to stop, then wait for the answers that are being made. gunicorn's own does the same."""
        self._connections = Connections(self.worker_connections, edge.current().caps_addresses, self._hang_up)
        self._turn = BoundedSemaphore(1)
        self._lingering = 0
        self._warned = -1.0
        trimmer = memory.Trimmer()
        acceptors = [spawn(self._accept, listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            trimmer.look(len(self._connections), self._connections.most())
            sleep(1.0)
        killall(acceptors)
        for listener in self.sockets:
            listener.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        while self._connections and time.monotonic() < until:
            self.notify()
            sleep(0.1)

    def _serve(self, listener_name: Any, client: Any, addr: Any) -> None:
        """Serve one connection: HTTP/1.1 without TLS, where gunicorn's own would also speak other protocols."""
        peer = self._connections.admit(addr[0], getcurrent())
        if peer is None:
            self._refuse(client)
            return
        connection = Connection(self.cfg, client, addr, self._connections, peer)
        connection.head_seconds, connection.body_seconds = self.head_seconds, self.body_seconds
        close = util.close
        try:
            while self._has_another(connection, peer):
                request = next(connection)
                request.peer = peer
                client.settimeout(self.answer_seconds)
                self.handle_request(listener_name, request, client, addr)
        except StopIteration:
            close = self._linger
        except OSError as error:
            if not _is_departure(error):
                self.log.exception("a connection failed")
        except Exception as error:  # no connection may take the worker, and so all others, with it
            self.handle_error(connection, client, addr, error)
            close = self._linger
        finally:
            self._connections.leave(peer)
            close(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Have the app answer. gunicorn's own does the same, with hooks, timing and access log around it.

        :raise StopIteration: the connection is not to be used again.
        """
        response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, Response, (self.answer_seconds,))
        environ["wsgi.multithread"] = True
        environ[edge.UNCAP] = partial(self._connections.uncap, req.peer)
        if not self.alive:
            response.force_close()
        try:
            body = self.wsgi(environ, response.start_response)
            try:
                for chunk in body:
                    response.write(chunk)
                response.close()
            finally:
                if hasattr(body, "close"):
                    body.close()
        except (OSError, StopIteration):
            raise
        except Exception:  # the app's, whatever it is; once an answer has begun, no other can follow
            if not response.headers_sent:
                raise
            self.log.exception("an answer broke off")
            raise ConnectionResetError(errno.ECONNRESET, "another answer would be read as part of the first") from None
        if response.should_close():
            raise StopIteration

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what no app could: a head that makes no sense, or an app that raises."""
        self._tell(client, refusals.answer_error(exc, self.log, req.origin()))

    def handle_exit(self, *received: Any) -> None:
        super().handle_exit(*received)
        shutdown_hooks.run()
        get_hub().loop.run_callback(self._end_silent)

    def _accept(self, listener: Any) -> None:
        listener.setblocking(True)
        listener.setsockopt(*MODEST)  # which its connections inherit
        listener_name = listener.getsockname()
        for number in count(1):
            try:
                client, addr = listener.accept()
            except OSError as error:
                self._miss(error)
                continue
            spawn(self._serve, listener_name, client, addr)
            if number % ACCEPTS_A_TURN == 0:
                sleep(0)

    def _miss(self, error: OSError) -> None:
        """A connection could not be accepted: because it has ended already, or because there is no room for it."""
        if error.errno not in _NO_ROOM or self._connections.make_room():
            sleep(0)  # for whoever has been ended to end
            return
        now = time.monotonic()
        if now - self._warned > 10:
            self._warned = now
            self.log.warning("no connection can be accepted at the moment: %s", error.strerror)
        sleep(0.05)

    def _refuse(self, client: Any) -> None:
        logs.new_request_id()
        self._tell(client, refusals.answer(refusals.TOO_MANY))
        self._linger(client)

    def _tell(self, client: Any, answer: bytes) -> None:
        client.settimeout(LITTLE_TIME)
        with suppress(OSError):
            client.sendall(answer)

    def _has_another(self, connection: Connection, peer: Peer) -> bool:
        """Wait for the next request; who is silent for too long, or while this process stops, has none."""
        if not connection.drain(self.drain_seconds):
            raise StopIteration
        if peer.must_leave:
            return False
        try:
            begins = connection.begins(self.cfg.keepalive if self.alive else 0)
        except TimeoutError:
            return False
        if connection.is_pipelining:
            # All who have their next request ready have one turn between them, so that each other is before them.
            with self._turn:
                sleep(0)
        return begins

    def _linger(self, client: Any) -> None:
        """Hang up, but not while more is coming: TCP would then take back the answer (RFC 9112, section 9.6)."""
        if self._lingering >= MAX_LINGERING:
            util.close(client)
            return
        self._lingering += 1
        try:
            util.close_graceful(client, self.drain_seconds, MAX_DRAINED_BYTES)
        finally:
            self._lingering -= 1

    def _hang_up(self, peer: Peer) -> None:
        get_hub().loop.run_callback(self._end, peer)

    def _end_silent(self) -> None:
        for peer in self._connections.silent:
            self._end(peer)

    def _end(self, peer: Peer) -> None:
        if peer.is_waiting:  # still
            peer.greenlet.throw(TimeoutError)


def _is_departure(error: OSError) -> bool:
    """Whether the client has gone, or might as well have."""
    return isinstance(error, ConnectionError | TimeoutError | NoMoreData) or error.errno == errno.ENOTCONN
