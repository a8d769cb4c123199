"""A service's own token: OAuth 2.0 client credentials (RFC 6749, section 4.4) from the auth service."""

import time
from collections.abc import Callable
from threading import Lock

from shopkit.http_client import ServiceClient

_EARLIER_SECONDS = 30


def own_token(
    auth_service: ServiceClient, client_id: str, client_secret: str, clock: Callable[[], float] = time.monotonic
) -> Callable[[], str]:
    """A function that gives a token that still holds, and asks for a new one shortly before the old one ends."""
    lock = Lock()
    token, ends = "", 0.0

    def current() -> str:
        nonlocal token, ends
        with lock:
            if clock() >= ends:
                granted = auth_service.post(
                    "/token",
                    {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret},
                )
                token, ends = granted["access_token"], clock() + granted["expires_in"] - _EARLIER_SECONDS
        return token

    return current
