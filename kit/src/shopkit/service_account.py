"""A service's own token: OAuth 2.0 client credentials (RFC 6749, section 4.4) from the auth service."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from shopkit.errors import NotSignedIn, UpstreamFailed
from shopkit.http_client import OwnToken, ServiceClient

_EARLIER_SECONDS = 30


def own_token(
    auth_service: ServiceClient, client_id: str, client_secret: str, clock: Callable[[], float] = time.monotonic
) -> OwnToken:
    """A function that gives a token, and asks for a new one shortly before the old one ends or once it was refused.

    So a clock that stood still while the machine slept does no harm. Of several threads one asks, the others wait.
    """
    lock = Lock()
    token, ends = "", 0.0

    def current(refused: str | None = None) -> str:
        nonlocal token, ends
        with lock:
            if clock() >= ends or token == refused:
                granted = _granted()
                token, ends = granted["access_token"], clock() + granted["expires_in"] - _EARLIER_SECONDS
            return token

    def _granted() -> dict[str, Any]:
        credentials = {"client_id": client_id, "client_secret": client_secret}
        try:
            granted: dict[str, Any] = auth_service.post("/token", {"grant_type": "client_credentials", **credentials})
        except NotSignedIn as error:  # whoever asks us for something is not the one who is not signed in
            raise UpstreamFailed("The auth-service does not accept this service's own credentials.") from error
        return granted

    return current
