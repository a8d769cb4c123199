"""What browsers are told to refuse."""

from collections.abc import Callable, Iterable
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, request
from werkzeug import Request

from browsers.origins import VARY, Origins

# Answers are data: nothing in them is to be run, framed or guessed at. Pages say themselves what they need.
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_BY_SCHEME = {
    "http": _ALWAYS,
    "https": {**_ALWAYS, "Strict-Transport-Security": "max-age=31536000; includeSubDomains"},
}


def init_app(app: Flask) -> None:
    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.extend(security_headers_for(request.scheme, response.headers))
        return response


def security_headers_for(scheme: str, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is to be said beside these headers."""
    said = {name.lower() for name, _ in headers}
    return [(name, text) for name, text in _BY_SCHEME[scheme].items() if name.lower() not in said]


def error_headers(origins: Origins) -> Callable[[WSGIEnvironment], list[tuple[str, str]]]:
    """What the server's own errors say to browsers, as ours do."""

    def headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
        return [VARY, *origins.cors_headers(Request(environ)), *security_headers_for(environ["wsgi.url_scheme"], [])]

    return headers
