"""Which other sites' pages may use the shop from a browser: CORS for requests, the same list for WebSockets."""

import re
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from flask import Flask, Response
from flask import request as current_request
from werkzeug import Request

from shopkit.errors import NotAllowed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
EVERYBODY = "*"

_EXPOSED = (
    *("X-Total-Count", "Link", "ETag", "Location", "X-Request-ID", "X-Corrected-To", "Idempotent-Replayed"),
    *("Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"),
)
_HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*", re.ASCII)
VARY = ("Vary", "Origin")


class Origins:
    """Those that are welcome beside our own.

    :param app: the gateway's own pages, which say the same to browsers, and answer preflights for all paths.
    """

    def __init__(self, welcome: AbstractSet[str], app: Flask) -> None:
        self._welcome = welcome
        app.before_request(_answer_preflight)
        app.after_request(self._permit)

    def permissions(self, request: Request) -> list[tuple[str, str]]:
        """What an answer to this request says to browsers. Everybody is welcome without credentials at most."""
        origin = request.headers.get("Origin", "")
        if origin and origin.lower() in self._welcome - {EVERYBODY}:
            whose = [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]
        elif origin and EVERYBODY in self._welcome:
            whose = [("Access-Control-Allow-Origin", EVERYBODY)]
        else:
            return []
        return [*whose, *_what(request)]

    def refuse_strangers(self, request: Request) -> None:
        """Browsers open WebSockets across origins without asking first, so the answer has to be here.

        :raise NotAllowed: a page of an origin that is neither ours nor one of these.
        """
        origin = request.headers.get("Origin", "").lower()
        if origin and origin.partition("://")[2] != request.host and self._welcome.isdisjoint({origin, EVERYBODY}):
            raise NotAllowed("Pages of this site may not connect to the shop.")

    def _permit(self, response: Response) -> Response:
        response.headers.extend(self.permissions(current_request))
        response.vary.add("Origin")
        return response


def is_preflight(environ: "WSGIEnvironment") -> bool:
    return environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ


def _what(request: Request) -> list[tuple[str, str]]:
    """What pages may send, for a preflight, or see of an answer."""
    if not is_preflight(request.environ):
        return [("Access-Control-Expose-Headers", ", ".join(_EXPOSED))]
    said = [("Access-Control-Allow-Methods", ", ".join(METHODS)), ("Access-Control-Max-Age", "600")]
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    return [*said, ("Access-Control-Allow-Headers", wanted)] if _HEADER_NAMES.fullmatch(wanted) else said


def _answer_preflight() -> tuple[str, int] | None:
    return ("", 204) if is_preflight(current_request.environ) else None
