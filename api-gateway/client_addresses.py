"""From which address a request comes, where it passed through proxies of ours or an application of ours."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

MAX_FORWARDED_LENGTH = 500  # characters of `X-Forwarded-For`; each proxy adds about twenty
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


def trust_proxies(proxies: int, app: WSGIApplication) -> WSGIApplication:
    """Take from `X-Forwarded-*` what so many proxies of ours have appended; what stands before that may be made up."""
    if not proxies:
        return app

    def plainly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Proxies say it in several ways: addresses with ports (RFC 7239, section 6.2), wss for https.
        if found := _WITH_PORT.fullmatch(environ.get("REMOTE_ADDR", "")):
            environ["REMOTE_ADDR"] = found[1] or found[2]
        environ["wsgi.url_scheme"] = "https" if environ["wsgi.url_scheme"].lower() in ("https", "wss") else "http"
        return app(environ, start_response)

    return ProxyFix(plainly, x_for=proxies, x_proto=proxies, x_host=proxies)


def visitor_address(forwarded_for: str, trusted_proxies: int) -> str | None:
    """The visitor's address in the `X-Forwarded-For` of an application that asks for it.

    The application writes one address, and each trusted proxy after it appends one. A chain of another length is not
    believed, because part of it may come from a stranger's own header.
    """
    if len(forwarded_for) > MAX_FORWARDED_LENGTH:
        return None
    chain = forwarded_for.split(",")
    if len(chain) != trusted_proxies + 1:
        return None
    try:
        return str(ip_address(chain[0].strip()))
    except ValueError:
        return None
