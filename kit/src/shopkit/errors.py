"""What can go wrong, and the one place that turns it into an answer.

ShopError
 ├─ BadRequest           400  the body or the query cannot be read
 ├─ NotSignedIn          401  no token, or one that does not hold
 ├─ PaymentRequired      402  the payment was declined
 ├─ NotAllowed           403  signed in, but this is for others
 ├─ NotFound             404  absent, or not yours
 ├─ Conflict             409  not possible in the present state
 ├─ PreconditionFailed   412  the copy that was edited is stale
 ├─ Invalid              422  fields that do not validate
 ├─ PreconditionRequired 428  it has to be said which copy was edited
 ├─ TooManyRequests      429  more than a rate limit allows
 ├─ UpstreamFailed       502  another service failed or is away
 │   └─ UpstreamRefused       it finds what we sent invalid: to repeat it is no use
 ├─ Unavailable          503  this service cannot work at the moment
 └─ UpstreamTimeout      504  another service is too slow

Every error is answered as `application/problem+json` (RFC 9457), Werkzeug's own (404, 405, 413, 415, 500) included.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Response
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException, InternalServerError

from shopkit.json_provider import dumps
from shopkit.logs import request_id

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
MOST_NAMED = 20  # of the fields that are wrong
MOST_LETTERS = 100  # of the name of one

# Python 3.13 calls these by other names; clients know them by those that they had before.
_CODES = {
    413: "request_entity_too_large",
    414: "request_uri_too_long",
    416: "requested_range_not_satisfiable",
    422: "unprocessable_entity",
}


class ShopError(Exception):
    """Something a client is told about: `message` is a sentence for people, `extra` members for programs."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"
    headers: dict[str, str] = {}

    def __init__(self, message: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.extra = extra


class BadRequest(ShopError):
    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class NotSignedIn(ShopError):
    status = HTTPStatus.UNAUTHORIZED
    code = "not_signed_in"
    headers = {"WWW-Authenticate": "Bearer"}


class PaymentRequired(ShopError):
    status = HTTPStatus.PAYMENT_REQUIRED
    code = "payment_required"


class NotAllowed(ShopError):
    status = HTTPStatus.FORBIDDEN
    code = "not_allowed"


class NotFound(ShopError):
    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class Conflict(ShopError):
    status = HTTPStatus.CONFLICT
    code = "conflict"


class PreconditionFailed(ShopError):
    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class Invalid(ShopError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid"

    @classmethod
    def field(cls, name: str, message: str) -> "Invalid":
        return cls.fields([{"field": name, "message": message}])

    @classmethod
    def fields(cls, found: Sequence[dict[str, str]]) -> "Invalid":
        """Name the first of them, shortened, and count the rest: an answer must not be larger than its question."""
        named = [
            {"field": shortened(each["field"], MOST_LETTERS), "message": shortened(each["message"], 2 * MOST_LETTERS)}
            for each in found[:MOST_NAMED]
        ]
        sentences = [f"{each['field']}: {each['message']}" for each in named]
        if more := len(found) - len(named):
            sentences.append(f"and {more} more")
        return cls("; ".join(sentences), errors=named)


class PreconditionRequired(ShopError):
    status = HTTPStatus.PRECONDITION_REQUIRED
    code = "precondition_required"


class TooManyRequests(ShopError):
    """:param headers: when to come again (`Retry-After`), and whatever else is known of the limit."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"

    def __init__(self, message: str, headers: dict[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class UpstreamFailed(ShopError):
    status = HTTPStatus.BAD_GATEWAY
    code = "upstream_failed"


class UpstreamRefused(UpstreamFailed):
    pass


class Unavailable(ShopError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"
    headers = {"Retry-After": "5"}


class UpstreamTimeout(ShopError):
    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "upstream_timeout"


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """The shape of every error, for the API document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    error: str
    errors: list[FieldError] | None = None


def init_app(app: Flask) -> None:
    app.register_error_handler(ShopError, _answer)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(OperationalError, _answer_database)


def answer(error: Exception) -> Response:
    """The answer to an error outside of Flask's handling of requests; what nobody foresaw is logged."""
    if isinstance(error, ShopError):
        return _answer(error)
    if isinstance(error, HTTPException):
        return _answer_http(error)
    logger.error("a request failed", exc_info=error)
    return _answer_http(InternalServerError())


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    """Build the one error answer."""
    body = dumps({**members(status, code, detail), **extra})
    return Response(body, status, {**(headers or {}), "Content-Type": PROBLEM_JSON})


def members(status: int, code: str, detail: str) -> dict[str, Any]:
    """What stands in every error's body; `error` repeats `detail` for clients that show a single line."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id(),
        "error": detail,
    }


def invalid_fields(error: ValidationError) -> NoReturn:
    """Turn pydantic's findings into `Invalid`; flask-openapi3 calls this for bodies, queries and paths."""
    found = [
        {"field": ".".join(map(str, each["loc"])) or "body", "message": each["msg"].removeprefix("Value error, ")}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    raise Invalid.fields(found) from error


def _answer(error: ShopError) -> Response:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        because = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
        logger.error("%s: %s%s", error.code, error.message, because)
    return problem(error.status, error.code, error.message, error.headers, **error.extra)


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {
        name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")
    }
    code = _CODES.get(status) or HTTPStatus(status).name.lower()
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(status, ShopError.code, "Something went wrong on our side.", headers)
    # Werkzeug's own sentences are for people with browsers; a raised one may have its own.
    said = error.description if error.description != type(error).description else None
    return problem(status, code, said or f"{HTTPStatus(status).description or HTTPStatus(status).phrase}.", headers)


def _answer_database(error: OperationalError) -> Response:
    logger.error("the database does not work", exc_info=error)
    busy = Unavailable("The database is not available at the moment; try again.")
    return problem(busy.status, busy.code, busy.message, busy.headers)
