"""Which other sites' pages may use the shop from a browser: CORS for requests, the same list for WebSockets."""

from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask_cors import CORS

from shopkit.errors import NotAllowed

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def init_app(app: Flask, origins: AbstractSet[str]) -> None:
    app.before_request(_answer_preflight)
    CORS(
        app,
        origins=sorted(origins),
        methods=METHODS,
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
        expose_headers=["X-Total-Count", "Link", "X-Request-ID", "Retry-After", "Location", "Idempotent-Replayed"],
        max_age=600,
        always_send=False,
        vary_header=False,  # it would only be there when the origin is known, and mislead caches
    )
    app.after_request(_vary)


def refuse_strangers(origins: AbstractSet[str]) -> None:
    """Browsers open WebSockets across origins without asking first, so the answer has to be here.

    :raise NotAllowed: a page of an origin that is neither ours nor one of these.
    """
    origin = request.headers.get("Origin", "").lower()
    if origin and urlsplit(origin).netloc != request.host and origins.isdisjoint({origin, "*"}):
        raise NotAllowed("Pages of this site may not connect to the shop.")


def _answer_preflight() -> tuple[str, int] | None:
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return "", 204
    return None


def _vary(response: Response) -> Response:
    response.vary.add("Origin")
    return response
