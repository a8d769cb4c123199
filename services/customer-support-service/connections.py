"""The server side of Socket.IO: on which server it runs, and how its connections end."""

import errno
import logging
import re
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask
from flask_socketio import SocketIO
from werkzeug.serving import WSGIRequestHandler

from listeners import CheckingManager, CheckingRedisManager
from packets import MAX_BYTES
from settings import Settings
from shopkit import logs, prepare, service
from shopkit.server.shutdown_hooks import at_stop

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_INSTANCE = re.compile(r"[0-9a-f]{8}")
_instance: ContextVar[str] = ContextVar("instance", default="")


def new_socketio(app: Flask, settings: Settings) -> SocketIO:
    # Both would add a handler of their own. What Engine.IO logs as errors are the malformed packets of clients.
    logging.getLogger("socketio.server").setLevel(logging.ERROR)
    logging.getLogger("engineio.server").setLevel(logging.CRITICAL)
    socketio = SocketIO(
        app,
        async_mode=settings.socketio_async_mode or _mode_of_this_process(),
        async_handlers=False,  # what one client says is heard in its order
        cors_allowed_origins=[],  # origins are the gateway's business
        manage_session=False,
        max_http_buffer_size=MAX_BYTES,
        client_manager=_new_manager(settings),
    )
    _end_without_waiting(socketio.server.eio)
    _name_the_instance_in_sessions(socketio.server.eio)
    at_stop(partial(_end_all, socketio.server.eio))
    app.wsgi_app = _knowing_the_instance(_hanging_up_on_nonsense(app.wsgi_app))  # type: ignore[assignment, method-assign]
    return socketio


def _new_manager(settings: Settings) -> CheckingManager:
    if not settings.redis_url:
        return CheckingManager()
    # Two shops in two databases of one Redis would hear each other: what is published knows no databases.
    return CheckingRedisManager(settings.redis_url, channel=f"chat{urlsplit(settings.redis_url).path}")


def run(app: Flask) -> None:
    """Serve during development; what is not threads has a server of its own."""
    socketio: SocketIO = app.extensions["socketio"]
    if socketio.async_mode == "threading":
        WSGIRequestHandler.protocol_version = "HTTP/1.0"  # what was a WebSocket is not read for another request
        service.run(app)
    else:
        logs.set_up(app.config["SERVICE_NAME"])
        prepare.at_start(app)
        socketio.run(app, port=app.config["PORT"])


def _end_all(engine: Any) -> None:
    for session_id in list(engine.sockets):
        engine.disconnect(session_id)


def _end_without_waiting(engine: Any) -> None:
    """Who breaks the protocol or sends too much is cut off, and may never fetch what Engine.IO would wait for."""

    def disconnect(session_id: str) -> None:
        engine.sockets.pop(session_id).close(wait=False)

    engine.disconnect = disconnect


def _name_the_instance_in_sessions(engine: Any) -> None:
    """Let session ids begin with the name that the gateway has for this instance: it sends whoever has one here."""
    new_id = engine.generate_id

    def generate_id() -> str:
        return ".".join(filter(None, (_instance.get(), new_id())))

    engine.generate_id = generate_id


def _knowing_the_instance(serve: "WSGIApplication") -> "WSGIApplication":
    """Keep what the gateway says for whoever makes a session id: Engine.IO does not say for which request that is."""

    def serving(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        said = environ.get("HTTP_X_UPSTREAM", "")
        _instance.set(said if _INSTANCE.fullmatch(said) else "")
        return serve(environ, start_response)

    return serving


def _hanging_up_on_nonsense(serve: "WSGIApplication") -> "WSGIApplication":
    """A frame that is no packet at all raises out of Engine.IO; to the server, let it be a connection that broke."""

    def serving(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            return serve(environ, start_response)
        except ValueError:
            raise ConnectionResetError(errno.ECONNRESET, "not an Engine.IO packet") from None

    return serving


def _mode_of_this_process() -> str:
    monkey = sys.modules.get("gevent.monkey")
    return "gevent" if monkey and monkey.is_module_patched("socket") else "threading"
