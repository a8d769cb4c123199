"""Header fields that are dear to parse: bounded, or not read at all.

Werkzeug takes a tenth of a second for an `Accept` of 8 kB, or a `Cookie`, that is mostly white space, and sixteen times
as long for 32 kB. No honest client sends such fields.
"""

from typing import TYPE_CHECKING

from flask import Flask, Request, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import RequestHeaderFieldsTooLarge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_LENGTH = 1000  # characters of one field; browsers send about a hundred

# Refused rather than overlooked when they are too long: an `If-Match` that nobody reads would let a stale copy in.
_PARSED = (
    *("CONTENT_TYPE", "HTTP_ACCEPT", "HTTP_ACCEPT_CHARSET", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE"),
    *("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "HTTP_CACHE_CONTROL", "HTTP_ORIGIN", "HTTP_RANGE", "HTTP_IF_RANGE"),
    *("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE"),
)


def init_app(app: Flask) -> None:
    app.session_interface = _NoSessions()
    app.before_request(lambda: refuse_long(request.environ))


def refuse_long(environ: "WSGIEnvironment") -> None:
    """:raise RequestHeaderFieldsTooLarge: a field that somebody may parse is longer than it can sensibly be."""
    for name in _PARSED:
        if len(environ.get(name, "")) > MAX_LENGTH:
            raise RequestHeaderFieldsTooLarge


class _NoSessions(SessionInterface):
    """The shop keeps nothing in cookies; Flask would look for its own in every request."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.make_null_session(app)
