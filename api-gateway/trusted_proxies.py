"""Whose word is taken for who the client is."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


def trust_proxies(proxies: int, app: "WSGIApplication") -> "WSGIApplication":
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
