"""Which headers go on to a service, and which of its answer to the client."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from wsgiref.types import WSGIEnvironment

from routing import Route
from shopkit.logs import request_id
from shopkit.public_url import HEADER as PUBLIC_URL

Headers = list[tuple[str, str]]

# RFC 9110, section 7.6.1: these belong to one connection and are not passed on.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
# Not taken over from a client's request: we say these ourselves, or our server has dealt with them (`Expect`).
NOT_FORWARDED = (
    HOP_BY_HOP
    | {"content-length", "expect", "forwarded", "host", "x-real-ip", "x-request-id", "x-upstream"}
    | {"x-service-authorization"}
    | {PUBLIC_URL.lower()}
)
# Not taken over from a service's answer.
NOT_RETURNED = HOP_BY_HOP | {"date", "server", "x-request-id"}


def request_headers(environ: WSGIEnvironment, route: Route) -> dict[str, str]:
    """What a service is sent of a client's headers, and what we say of the client."""
    sent = [(_name(key), text) for key, text in environ.items() if key.startswith("HTTP_")]
    headers = dict(_end_to_end(sent, NOT_FORWARDED, "x-forwarded-"))
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[_name("HTTP_" + key)] = environ[key]
    if route.removed_prefix:
        headers["X-Forwarded-Prefix"] = route.removed_prefix
    headers["X-Forwarded-For"] = environ.get("REMOTE_ADDR", "")
    headers["X-Forwarded-Proto"] = environ["wsgi.url_scheme"]
    headers["X-Forwarded-Host"] = environ.get("HTTP_HOST", "")
    headers["X-Request-ID"] = request_id()
    return headers


def response_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """What a client is told of the headers of a service's answer."""
    return _end_to_end(headers, NOT_RETURNED, "access-control-")


@lru_cache(1000)
def _name(key: str) -> str:
    """`HTTP_ACCEPT_LANGUAGE` of WSGI as `Accept-Language`."""
    return key[5:].replace("_", "-").title()


def _end_to_end(headers: Iterable[tuple[str, str]], not_these: AbstractSet[str], nor_this_start: str) -> Headers:
    """The headers without those of the connection: the known ones, and those that `Connection` names."""
    kept, options = [], ""
    for each in headers:
        name = each[0].lower()
        if name == "connection":
            options += "," + each[1].lower()
        elif name not in not_these and not name.startswith(nor_this_start):
            kept.append(each)
    if options in ("", ",keep-alive", ",close"):
        return kept
    named = {option.strip() for option in options.split(",")}
    return [each for each in kept if each[0].lower() not in named]
