"""What a server answers by itself, because no app could: problems that look like all others."""

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from gunicorn import util
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from shopkit import errors, logs
from shopkit.server import edge


class TooSlow(ParseException):
    """The head of a request did not arrive in time."""


class Refusal(NamedTuple):
    status: HTTPStatus
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


TOO_MANY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_connections",
    "Too many are connected at the moment; try again.",
    (("Retry-After", "5"),),
)
_BROKEN = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, errors.ShopError.code, "Something went wrong on our side.")
_NONSENSE = Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "This is not a proper HTTP/1.1 request.")
_KNOWN = {
    LimitRequestLine: Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The target is too long."),
    LimitRequestHeaders: Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too many or too long."
    ),
    ExpectationFailed: Refusal(
        HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "Only 100-continue can be expected."
    ),
    TooSlow: Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time."),
}


def answer_error(error: Exception, log: Any, origin: str | None = None) -> bytes:
    """The answer to an error that no app has seen, which is logged; after it the connection ends."""
    logs.new_request_id()
    refusal = _reason(error)
    if refusal is _BROKEN:
        log.error("a request failed outside of the app", exc_info=error)
    else:
        log.info("refused a request: %s", type(error).__name__)  # its message may tell headers
    return answer(refusal, origin)


def answer(refusal: Refusal, origin: str | None = None) -> bytes:
    """The whole answer, after which the connection ends.

    :param origin: where the page comes from that asks, if a browser says so.
    """
    body = orjson.dumps(errors.members(refusal.status, refusal.code, refusal.detail))
    known = {"HTTP_ORIGIN": origin} if origin else {}
    fields = [
        ("Date", util.http_date()),
        ("Connection", "close"),
        ("Content-Type", errors.PROBLEM_JSON),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", logs.request_id()),
        *refusal.headers,
        *edge.current().error_headers({"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", **known}),
    ]
    lines = "".join(f"{name}: {text}\r\n" for name, text in fields)
    return f"HTTP/1.1 {refusal.status:d} {refusal.status.phrase}\r\n{lines}\r\n".encode("latin-1") + body


def _reason(error: Exception) -> Refusal:
    if not isinstance(error, ParseException) or isinstance(error, InvalidResponseHeader | InvalidResponseHeaderName):
        return _BROKEN
    return _KNOWN.get(type(error), _NONSENSE)
