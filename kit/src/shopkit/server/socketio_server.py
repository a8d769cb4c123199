"""A Socket.IO server for a service: on which server it runs, who gets in, and how its connections end."""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from flask import Flask, request
from flask_socketio import SocketIO
from werkzeug.serving import WSGIRequestHandler

from shopkit import errors, logs, prepare, service
from shopkit.addresses import network
from shopkit.errors import BadRequest, ShopError
from shopkit.server import engineio_sessions, handshakes
from shopkit.server.attendance import Attendance, Bounds
from shopkit.server.shutdown_hooks import at_stop
from shopkit.server.socketio_packets import ModestPacket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/socket.io/"
SWEEP_SECONDS = 1.0

logger = logging.getLogger("shop.chat")

_INSTANCE = re.compile(r"[0-9a-f]{8}")
_instance: ContextVar[str] = ContextVar("instance", default="")


def new_socketio(
    app: Flask, async_mode: str, client_manager: Any, expired: Callable[[str], None], bounds: Bounds | None = None
) -> SocketIO:
    """Serve Socket.IO beside an app.

    :param async_mode: gevent, threading or eventlet; empty is what fits the server this runs on.
    :param expired: called with the id of a Socket.IO client whose token has expired, to be told so and disconnected.
    """
    # Both would add a handler of their own. What Engine.IO logs as errors are the malformed packets of clients.
    logging.getLogger("socketio.server").setLevel(logging.ERROR)
    logging.getLogger("engineio.server").setLevel(logging.CRITICAL)
    engineio_sessions.install()
    socketio = SocketIO(
        app,
        async_mode=async_mode or _mode_of_this_process(),
        async_handlers=False,  # what one client says is heard in its order, and nothing more is read until it is
        cors_allowed_origins=[],  # origins are the gateway's business
        manage_session=False,
        max_http_buffer_size=engineio_sessions.MAX_BYTES,
        client_manager=client_manager,
        serializer=ModestPacket,
    )
    engine = socketio.server.eio
    engine.disconnect = partial(_cut_off, engine)
    engine._bad_request = _bad_request
    _name_the_instance_in_sessions(engine)
    attendance = Attendance(bounds or Bounds(), lambda eio_sid: _expire(socketio, eio_sid, expired))
    _count(engine, attendance)
    socketio.on_event("disconnect", lambda *_: attendance.sign_out(_engine_session(socketio)))
    app.extensions["attendance"] = attendance
    at_stop(partial(_end_all, engine))
    app.wsgi_app = _Entrance(app.wsgi_app, engine)  # type: ignore[method-assign]
    return socketio


def sign_in(socketio: SocketIO, account: int, ends_at: float) -> None:
    """Whoever connects at this moment is known now.

    :raise TooManySockets: they are connected too often.
    """
    socketio.server.eio.attendance.sign_in(_engine_session(socketio), account, ends_at)


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


class _Entrance:
    """What a request for Socket.IO has to be like, looked at before Engine.IO does anything about it."""

    def __init__(self, serve: "WSGIApplication", engine: Any) -> None:
        self._serve = serve
        self._engine = engine

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(PATH):
            try:
                self._check(environ)
            except ShopError as error:
                logs.begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
                return errors.answer(error)(environ, start_response)
        # Engine.IO does not say for which request it makes a session id.
        said = environ.get("HTTP_X_UPSTREAM", "")
        _instance.set(said if _INSTANCE.fullmatch(said) else "")
        return self._serve(environ, start_response)

    def _check(self, environ: "WSGIEnvironment") -> None:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if "j" in query:
            raise BadRequest("There is no JSONP here.")
        is_websocket = handshakes.asks_for_websocket(environ)
        if is_websocket:
            handshakes.check(environ)
        if environ["REQUEST_METHOD"] == "GET" and not any(query.get("sid", ())):  # an empty one opens a session, too
            if query.get("EIO") != ["4"]:
                raise BadRequest("Version 4 of Engine.IO is spoken here: EIO=4.")
            if query.get("transport") != ["websocket" if is_websocket else "polling"]:
                raise BadRequest("There is polling, and websocket with an upgrade.")
            self._engine.attendance.make_room(_address(environ))


def _count(engine: Any, attendance: Attendance) -> None:
    """Have the sessions of an engine counted as they come and go."""
    engine.attendance = attendance
    watch = _Watch(engine, attendance)
    connect, disconnect = engine.handlers["connect"], engine.handlers["disconnect"]

    def enter(session_id: str, environ: "WSGIEnvironment") -> Any:
        watch.start()
        attendance.enter(engine.sockets[session_id], _address(environ))
        return connect(session_id, environ)

    def leave(session_id: str, reason: str) -> None:
        attendance.leave(session_id)
        disconnect(session_id, reason)

    engine.on("connect", enter)
    engine.on("disconnect", leave)


class _Watch:
    """Looks after the sessions as long as there are any."""

    def __init__(self, engine: Any, attendance: Attendance) -> None:
        self._engine = engine
        self._attendance = attendance
        self._is_running = False

    def start(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._engine.start_background_task(self._run)

    def _run(self) -> None:
        while True:
            self._engine.sleep(SWEEP_SECONDS)
            if not len(self._attendance):
                self._is_running = False
                return
            try:
                self._attendance.sweep()
                for session in list(self._engine.sockets.values()):
                    session.ping_when_due()
            except Exception:  # the next time may do better; to stop would be to let everybody stay
                logger.exception("looking after the sockets failed")


def _expire(socketio: SocketIO, eio_sid: str, expired: Callable[[str], None]) -> None:
    sid = socketio.server.manager.sid_from_eio_sid(eio_sid, "/")
    if sid is not None:
        expired(sid)


def _engine_session(socketio: SocketIO) -> str:
    """The Engine.IO session of whom the present event comes from."""
    return str(socketio.server.manager.eio_sid_from_sid(request.sid, "/"))  # type: ignore[attr-defined]


def _address(environ: "WSGIEnvironment") -> str:
    """Whose connection it is: as the gateway says, one hop away, which replaces whatever a client claims."""
    told = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    return network(told or environ.get("REMOTE_ADDR", ""))


def _bad_request(message: str | None = None) -> dict[str, Any]:
    """What Engine.IO answers to nonsense, in the form of all our errors."""
    problem = errors.problem(400, BadRequest.code, f"{message or 'This makes no sense to Socket.IO'}.")
    return {"status": "400 BAD REQUEST", "headers": list(problem.headers.items()), "response": problem.get_data()}


def _cut_off(engine: Any, session_id: str) -> None:
    """Who breaks the protocol or sends too much is cut off, and may never fetch what Engine.IO would wait for."""
    engine.sockets.pop(session_id).close(wait=False)


def _end_all(engine: Any) -> None:
    for session_id in list(engine.sockets):
        engine.disconnect(session_id)


def _name_the_instance_in_sessions(engine: Any) -> None:
    """Let session ids begin with the name that the gateway has for this instance: it sends whoever has one here."""
    new_id = engine.generate_id

    def generate_id() -> str:
        return ".".join(filter(None, (_instance.get(), new_id())))

    engine.generate_id = generate_id


def _mode_of_this_process() -> str:
    monkey = sys.modules.get("gevent.monkey")
    return "gevent" if monkey and monkey.is_module_patched("socket") else "threading"
