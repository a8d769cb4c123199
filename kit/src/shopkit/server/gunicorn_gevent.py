"""How gunicorn serves what holds thousands of connections open (`-c python:shopkit.server.gunicorn_gevent`)."""

from gevent import monkey

monkey.patch_all()  # before anything else, since the app is loaded before the workers are forked

import errno  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import time  # noqa: E402
from contextlib import suppress  # noqa: E402
from functools import lru_cache  # noqa: E402
from http import HTTPStatus  # noqa: E402
from typing import Any  # noqa: E402

import orjson  # noqa: E402
from gevent import get_hub, getcurrent  # noqa: E402
from gunicorn import util  # noqa: E402
from gunicorn.http import wsgi  # noqa: E402
from gunicorn.http.errors import (  # noqa: E402
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
)
from gunicorn.workers.ggevent import GeventWorker  # noqa: E402

from shopkit import errors, logs  # noqa: E402
from shopkit.server import shutdown_hooks  # noqa: E402
from shopkit.server.gunicorn_conf import *  # noqa: E402, F403 - the same settings, but for the worker
from shopkit.server.sockets import send_all  # noqa: E402
from shopkit.server.strict_http import Connection, TooSlow  # noqa: E402

MAX_DRAINED_BYTES = 8 * 1024 * 1024

_REFUSALS = {
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The target is too long."),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The headers are too many or too long.",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "Only 100-continue can be expected."),
    TooSlow: (HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time."),
}
_NONSENSE = (HTTPStatus.BAD_REQUEST, "bad_request", "This is not a proper HTTP/1.1 request.")
_BROKEN = (HTTPStatus.INTERNAL_SERVER_ERROR, errors.ShopError.code, "Something went wrong on our side.")


class Response(wsgi.Response):
    """Sends the head of an answer together with the first piece of its body, not as a packet of its own."""

    headers_sent: bool
    _head = b""

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
        if data := self._head + data:
            self._head = b""
            send_all(self.sock, data)


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

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle: set[Any] = set()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection: HTTP/1.1 without TLS, where gunicorn's own would also speak other protocols."""
        client.settimeout(self.answer_seconds)
        connection = Connection(self.cfg, client, addr, self.head_seconds, self.body_seconds)
        address = listener.getsockname()  # which has none any more while this process stops
        close = util.close
        try:
            while self._has_another(connection):
                self.handle_request(address, next(connection), client, addr)
        except StopIteration:
            close = self._linger
        except OSError as error:
            if not _is_departure(error):
                self.log.exception("a connection failed")
        except Exception as error:  # no connection may take the worker, and so all others, with it
            self.handle_error(connection.mesg, client, addr, error)
            close = self._linger
        finally:
            close(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Have the app answer. gunicorn's own does the same, with hooks, timing and access log around it.

        :raise StopIteration: the connection is not to be used again.
        """
        response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, Response)
        environ["wsgi.multithread"] = True
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
        logs.new_request_id()
        status, code, detail = _reason(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("a request failed outside of the app", exc_info=exc)
        else:
            self.log.info("refused a request: %s", type(exc).__name__)  # its message may tell headers
        body = orjson.dumps(errors.members(status, code, detail))
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\nDate: {util.http_date()}\r\nConnection: close\r\n"
            f"Content-Type: {errors.PROBLEM_JSON}\r\nContent-Length: {len(body)}\r\n"
            f"X-Content-Type-Options: nosniff\r\nX-Request-ID: {logs.request_id()}\r\n\r\n"
        )
        with suppress(OSError):
            client.sendall(head.encode() + body)

    def handle_exit(self, *received: Any) -> None:
        super().handle_exit(*received)
        shutdown_hooks.run()
        get_hub().loop.run_callback(self._end_idle)

    def _has_another(self, connection: Connection) -> bool:
        """Wait for the next request; who is idle for too long, or while this process stops, has none."""
        if not connection.finish_body(time.monotonic() + self.drain_seconds):
            raise StopIteration
        self._idle.add(getcurrent())
        try:
            return connection.begins(self.cfg.keepalive if self.alive else 0)
        except TimeoutError:
            return False
        finally:
            self._idle.discard(getcurrent())

    def _linger(self, client: Any) -> None:
        """Hang up, but not while more is coming: TCP would then take back the answer (RFC 9112, section 9.6)."""
        util.close_graceful(client, self.drain_seconds, MAX_DRAINED_BYTES)

    def _end_idle(self) -> None:
        for greenlet in list(self._idle):
            if greenlet in self._idle:  # still
                greenlet.throw(TimeoutError)


def _reason(error: Exception) -> tuple[HTTPStatus, str, str]:
    if not isinstance(error, ParseException) or isinstance(error, InvalidResponseHeader | InvalidResponseHeaderName):
        return _BROKEN
    return _REFUSALS.get(type(error), _NONSENSE)


def _is_departure(error: OSError) -> bool:
    """Whether the client has gone, or might as well have."""
    return isinstance(error, ConnectionError | TimeoutError | NoMoreData) or error.errno == errno.ENOTCONN


def _allow_open_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


worker_class = Worker
workers = 1  # Socket.IO sessions live in one process; more capacity is more instances
worker_connections = int(os.environ.get("MAX_SOCKETS") or 3000) + 500  # so that open sockets leave room for requests
keepalive = 30
sendfile = False  # it would send without the head that waits for a body
limit_request_line = limit_request_field_size = 8190
limit_request_fields = 100
http_parser = "python"  # the one that is made stricter, whatever is installed
# Nobody's word is taken for what the connection is, and no header may pass for another by its underscores.
forwarded_allow_ips = forwarder_headers = ""
header_map = "refuse"

_allow_open_files(3 * worker_connections)  # a WebSocket through the gateway is two
