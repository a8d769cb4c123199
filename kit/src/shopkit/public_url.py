"""What the shop's own things are called from outside.

Stored addresses are paths (`/images/lamp.svg`). Only the gateway knows what stands in front of them, and says so with
each request; where it does not, and between services, they stay paths. No `Host` that somebody made up is repeated.
"""

import re
from urllib.parse import quote, urlsplit

from flask import has_request_context, request

HEADER = "X-Public-Url"

_PREFIX = re.compile(r"(?:/[a-z]+)*")
_LOOPBACK = r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])"
_LOOPBACK_HOST = re.compile(rf"{_LOOPBACK}(?::[0-9]{{1,5}})?", re.IGNORECASE)
_LOOPBACK_URL = re.compile(rf"^(https?://){_LOOPBACK}(?=[:/]|$)", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether this, with a port or without, names the machine that one sits at."""
    return _LOOPBACK_HOST.fullmatch(host) is not None


def absolute(address: str) -> str:
    """The address of one of our things for whoever asks; one that is absolute already stays as it is."""
    return _public_url() + address if address.startswith("/") else address


def relative(address: str) -> str:
    """What is kept of an address that comes in: of one of our own things the path.

    One machine has several loopback hosts: what was read under `localhost` may be sent back under `127.0.0.1`.
    """
    ours, given = _with_one_loopback(_public_url()), _with_one_loopback(address)
    return given.removeprefix(ours) if ours and given.startswith(f"{ours}/") else address


def here() -> str:
    """The address of the request as whoever asks knows it, without its query."""
    path = urlsplit(request.base_url).path
    # What the gateway removed; anything else, like //stranger.example, somebody made up who asks us without it.
    return absolute(path if _PREFIX.fullmatch(request.script_root) else quote(request.path))


def _public_url() -> str:
    return request.headers.get(HEADER, "") if has_request_context() else ""


def _with_one_loopback(address: str) -> str:
    return _LOOPBACK_URL.sub(r"\1localhost", address)
