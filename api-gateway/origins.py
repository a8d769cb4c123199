"""Which other sites' pages may use the shop from a browser: CORS for requests, the same list for WebSockets."""

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from flask import request as current_request
from flask_cors import CORS
from flask_cors.core import get_cors_headers, get_cors_options
from werkzeug import Request

from shopkit.errors import NotAllowed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_OPTIONS: dict[str, Any] = {
    "methods": METHODS,
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
    "expose_headers": [
        *("X-Total-Count", "Link", "X-Request-ID", "Location", "Idempotent-Replayed"),
        *("Retry-After", "RateLimit", "RateLimit-Policy"),
    ],
    "max_age": 600,
    "always_send": False,
    "vary_header": False,  # it would only be there when the origin is known, and mislead caches
}
_VARY = ("Vary", "Origin")


class Origins:
    """Those that are welcome beside our own.

    :param app: the gateway's own pages, which say the same to browsers, and answer preflights for all paths.
    """

    def __init__(self, welcome: AbstractSet[str], app: Flask) -> None:
        self._welcome = welcome
        self._options = get_cors_options(app, {**_OPTIONS, "origins": sorted(welcome)})
        CORS(app, origins=sorted(welcome), **_OPTIONS)
        app.before_request(_answer_preflight)
        app.after_request(_vary)

    def permissions(self, request: Request) -> list[tuple[str, str]]:
        """What an answer to this request says to browsers."""
        if "HTTP_ORIGIN" not in request.environ:
            return [_VARY]
        allowed = get_cors_headers(self._options, request.headers, request.method)
        return [*((name, str(text)) for name, text in allowed.items()), _VARY]

    def refuse_strangers(self, request: Request) -> None:
        """Browsers open WebSockets across origins without asking first, so the answer has to be here.

        :raise NotAllowed: a page of an origin that is neither ours nor one of these.
        """
        origin = request.headers.get("Origin", "").lower()
        if origin and origin.partition("://")[2] != request.host and self._welcome.isdisjoint({origin, "*"}):
            raise NotAllowed("Pages of this site may not connect to the shop.")


def is_preflight(environ: "WSGIEnvironment") -> bool:
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def _answer_preflight() -> tuple[str, int] | None:
    return ("", 204) if is_preflight(current_request.environ) else None


def _vary(response: Response) -> Response:
    response.vary.add("Origin")
    return response
