"""The opening handshake of WebSockets (RFC 6455, section 4.2): what may be agreed to, and over which socket."""

import base64
import re
from hashlib import sha1
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shopkit.errors import BadRequest, ShopError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # sixteen bytes in base64, in the one way there is to write them


class UpgradeRequired(ShopError):
    """It speaks another version of the protocol, and is told which one is spoken here (section 4.4)."""

    status = HTTPStatus.UPGRADE_REQUIRED
    code = "upgrade_required"
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}


def asks_for_websocket(environ: "WSGIEnvironment") -> bool:
    return "websocket" in _tokens(environ.get("HTTP_UPGRADE", ""))


def check(environ: "WSGIEnvironment") -> None:
    """Look at a request that asks for a WebSocket.

    :raise BadRequest: it is malformed.
    :raise UpgradeRequired: it is of another version.
    """
    if environ["REQUEST_METHOD"] != "GET":
        raise BadRequest("A WebSocket is opened with GET.")
    is_old = environ["SERVER_PROTOCOL"] == "HTTP/1.0" and "eventlet.input" not in environ  # which says so of everything
    if is_old or "upgrade" not in _tokens(environ.get("HTTP_CONNECTION", "")):
        raise BadRequest("A WebSocket is opened over HTTP/1.1, with Connection: Upgrade.")
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        raise BadRequest("A request for a WebSocket has no body.")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        raise UpgradeRequired(f"Version {VERSION} of WebSockets is spoken here.")
    if not _KEY.fullmatch(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise BadRequest("Sec-WebSocket-Key has to be sixteen bytes in base64.")


def agree(environ: "WSGIEnvironment") -> Any:
    """Answer such a request, and take its connection over from the server.

    Extensions are not agreed to: compressed messages would have to be inflated before one knew how large they are.

    :return: the client's socket; give it back by `hang_up`.
    """
    sock = _socket_of(environ)
    digest = sha1(environ["HTTP_SEC_WEBSOCKET_KEY"].encode() + _GUID, usedforsecurity=False).digest()
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    return sock


def hang_up(environ: "WSGIEnvironment") -> list[bytes]:
    """Tell the server that the connection has served its purpose, so that it neither answers nor reads another request.

    :return: an answer that the server does not send.
    """
    if "gunicorn.socket" in environ:
        raise StopIteration
    if "werkzeug.socket" in environ:
        raise ConnectionError
    from eventlet.wsgi import WSGI_LOCAL  # type: ignore[import-untyped]

    WSGI_LOCAL.already_handled = True
    return []


def _socket_of(environ: "WSGIEnvironment") -> Any:
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in environ:
            return environ[name]
    if "eventlet.input" in environ:
        return environ["eventlet.input"].get_socket()
    raise BadRequest(f"There are no WebSockets under {environ.get('SERVER_SOFTWARE', 'this server')}.")


def _tokens(header: str) -> set[str]:
    return {each.strip().lower() for each in header.split(",")}
