"""Which other sites' pages may use the shop from a browser: CORS for requests, the same list for WebSockets."""

from collections.abc import Set as AbstractSet
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response
from flask import request as current_request
from flask_cors.core import get_cors_headers, get_cors_options
from werkzeug import Request

from shopkit.errors import NotAllowed
from shopkit.headers import MAX_LENGTH

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ANY = "*"
VARY = ("Vary", "Origin")

_OPTIONS: dict[str, Any] = {
    "methods": METHODS,
    "allow_headers": "*",  # whatever is asked for
    "expose_headers": [
        *("X-Total-Count", "Link", "ETag", "Location", "X-Request-ID", "X-Corrected-To", "Idempotent-Replayed"),
        *("Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"),
    ],
    "max_age": 600,
    "always_send": False,
    "vary_header": False,  # it would only be there when the origin is known, and mislead caches
}


class Origins:
    """Those that are allowed beside our own; whoever is not named is allowed without credentials at most.

    :param app: the gateway's own pages, which say the same to browsers, and answer preflights for all paths.
    """

    def __init__(self, allowed: AbstractSet[str], app: Flask) -> None:
        self._allowed = allowed
        named = {"origins": sorted(allowed - {ANY}), "supports_credentials": True}
        any_other = {"origins": [ANY] if ANY in allowed else [], "send_wildcard": True}
        self._options = [get_cors_options(app, {**_OPTIONS, **whose}) for whose in (named, any_other)]
        app.before_request(_answer_preflight)
        app.after_request(self._permit)

    def cors_headers(self, request: Request) -> list[tuple[str, str]]:
        """What an answer to this request says to browsers."""
        asked = request.environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if (
            "HTTP_ORIGIN" not in request.environ or len(asked) > MAX_LENGTH
        ):  # which is refused, and dear to look through
            return []
        for options in self._options:
            if allowed := get_cors_headers(options, request.headers, request.method):
                return [(name, str(text)) for name, text in allowed.items()]
        return []

    def refuse_unknown_origin(self, request: Request) -> None:
        """Browsers open WebSockets across origins without asking first, so the answer has to be here.

        :raise NotAllowed: a page of an origin that is neither ours nor one of these.
        """
        origin = request.headers.get("Origin", "").lower()
        if origin and origin.partition("://")[2] != request.host and self._allowed.isdisjoint({origin, ANY}):
            raise NotAllowed("Pages of this site may not connect to the shop.")

    def _permit(self, response: Response) -> Response:
        response.headers.extend(self.cors_headers(current_request))
        response.vary.add("Origin")
        return response


def is_preflight(environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def _answer_preflight() -> tuple[str, int] | None:
    return ("", 204) if is_preflight(current_request.environ) else None
