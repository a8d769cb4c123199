"""What browsers are told to refuse."""

from collections.abc import Iterable

from flask import Flask, Response, request

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
    def harden(response: Response) -> Response:
        response.headers.extend(hardening(request.scheme, response.headers))
        return response


def hardening(scheme: str, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is to be said beside these headers."""
    said = {name.lower() for name, _ in headers}
    return [(name, text) for name, text in _BY_SCHEME[scheme].items() if name.lower() not in said]
