"""What browsers are told to refuse, and whose word we take for who the client is."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug import Request
from werkzeug.middleware.proxy_fix import ProxyFix

from origins import VARY, Origins

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")

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


def error_headers(origins: Origins) -> Callable[["WSGIEnvironment"], list[tuple[str, str]]]:
    """What the server's own errors say to browsers, as ours do."""

    def headers(environ: "WSGIEnvironment") -> list[tuple[str, str]]:
        return [VARY, *origins.permissions(Request(environ)), *hardening(environ["wsgi.url_scheme"], [])]

    return headers


def believing(proxies: int, app: "WSGIApplication") -> "WSGIApplication":
    """Take from `X-Forwarded-*` what so many proxies of ours have appended; what stands before that may be made up."""
    if not proxies:
        return app

    def plainly(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # Proxies say it in several ways: addresses with ports (RFC 7239, section 6.2), wss for https.
        if found := _WITH_PORT.fullmatch(environ.get("REMOTE_ADDR", "")):
            environ["REMOTE_ADDR"] = found[1] or found[2]
        environ["wsgi.url_scheme"] = "https" if environ["wsgi.url_scheme"].lower() in ("https", "wss") else "http"
        return app(environ, start_response)

    return ProxyFix(plainly, x_for=proxies, x_proto=proxies, x_host=proxies)
