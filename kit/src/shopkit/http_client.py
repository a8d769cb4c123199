"""Calls to the other services: pooled connections, always a time-out, every failure with a meaning."""

import json
import logging
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Protocol

import requests
from flask import has_request_context, request
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util.retry import Retry

from shopkit.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    NotSignedIn,
    ShopError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from shopkit.logs import request_id

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
# The first try, and three more at most (StaleRetry).
LONGEST_CALL = 4 * (CONNECT_SECONDS + READ_SECONDS)
POOL_SIZE = 32

logger = logging.getLogger(__name__)

# Of what we sent, part of which may be a stranger's, as tokens are: it would be answered so again.
_REFUSES = frozenset({413, 414, 422, 431})
_SAME_HERE: dict[int, type[ShopError]] = {401: NotSignedIn, 403: NotAllowed, 404: NotFound, 409: Conflict}
_OWN_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "request_id", "error"})


class StaleRetry(Retry):
    """Try again where nothing can have happened twice.

    A connection that could not be set up: twice. A kept-alive connection that the other side had closed in the
    meantime: twice, which is safe because whatever services ask of each other can be repeated. A time-out while
    waiting for the answer, or an answer of any status: never.
    """

    def increment(self, *args: Any, **kwargs: Any) -> "StaleRetry":
        error = kwargs.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, **kwargs)


def new_session(adapter: BaseAdapter | None = None) -> requests.Session:
    """A session for calls within the shop; `adapter` is the seam where tests put another network.

    Whoever calls while all connections are in use waits for one: a crowd does not reach the other service as a crowd.
    """
    session = requests.Session()
    session.trust_env = False  # no proxies and no .netrc between services
    retries = StaleRetry(total=3, connect=2, read=2, redirect=0, status=0, other=0, allowed_methods=None)
    pool = HTTPAdapter(pool_maxsize=POOL_SIZE, pool_block=True, max_retries=retries)
    session.mount("http://", adapter or pool)
    return session


class OwnToken(Protocol):
    """Gives a token of this service's account; another one than `refused` if the last one was."""

    def __call__(self, refused: str | None = None) -> str: ...


class ServiceClient:
    """One other service, called on behalf of whoever called us, or with a token of our own.

    :param own_token: where to get a token of this service's account; without it the caller's travels on.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        adapter: BaseAdapter | None = None,
        own_token: OwnToken | None = None,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._session = new_session(adapter)
        self._own_token = own_token

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object | None = None) -> Any:
        return self.call("POST", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        token: str | None = None,
        seconds: float = READ_SECONDS,
    ) -> Any:
        """The JSON of the answer, its numbers with a point as `Decimal`; None for an empty one.

        A token of our own that is refused (the key that signs was changed, the database restored) is replaced, and the
        call repeated once.

        :raise ShopError: 401, 403, 404 and 409 as the other service said them.
        :raise UpstreamTimeout: no answer in time: it may or may not have happened.
        :raise UpstreamRefused: it does not take what we sent, and would not if it were sent again.
        :raise UpstreamFailed: the service is away, or answered anything else.
        """
        ours = self._own_token if token is None else None
        sent = ours() if ours else token
        try:
            answer = self._send(method, path, body, query, sent, seconds)
            if ours and answer.status_code == HTTPStatus.UNAUTHORIZED:
                answer = self._send(method, path, body, query, ours(sent), seconds)
        except requests.ReadTimeout as error:
            raise UpstreamTimeout(f"The {self.name} did not answer in time.") from error
        except requests.RequestException as error:
            raise UpstreamFailed(f"The {self.name} is not available.") from error
        return self._read(answer, with_own_token=ours is not None)

    def ping(self) -> None:
        """Ask whether the service is alive, and do not wait long."""
        self.call("GET", "/health/live", seconds=1.0)

    def close(self) -> None:
        self._session.close()

    def _send(
        self,
        method: str,
        path: str,
        body: object | None,
        query: Mapping[str, Any] | None,
        token: str | None,
        seconds: float,
    ) -> requests.Response:
        headers = {"X-Request-ID": request_id()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif has_request_context() and "Authorization" in request.headers:
            headers["Authorization"] = request.headers["Authorization"]
        return self._session.request(
            method,
            self._base_url + path,
            params=query,
            json=body,
            headers=headers,
            timeout=(min(CONNECT_SECONDS, seconds), seconds),
            allow_redirects=False,
        )

    def _read(self, answer: requests.Response, *, with_own_token: bool) -> Any:
        if answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return self._json(answer, parse_float=Decimal) if answer.content else None
        if answer.status_code in _REFUSES:
            raise UpstreamRefused(f"The {self.name} answered {answer.status_code}.")
        same = _SAME_HERE.get(answer.status_code)
        if with_own_token and same in (NotSignedIn, NotAllowed):
            logger.error("the %s does not let us in: %s %.200s", self.name, answer.status_code, answer.text)
            same = None
        if same is None:
            raise UpstreamFailed(f"The {self.name} answered {answer.status_code}.")
        said = self._json(answer)  # what is passed on as it came need not be exact
        try:
            words, code = said["detail"], said["code"]
        except (LookupError, TypeError) as error:  # not one of our services at all
            raise UpstreamFailed(f"The {self.name} answered {answer.status_code}.") from error
        raise same(words, code=code, **{name: value for name, value in said.items() if name not in _OWN_MEMBERS})

    def _json(self, answer: requests.Response, **options: Any) -> Any:
        try:
            return json.loads(answer.content, **options)
        except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, or too deep
            raise UpstreamFailed(f"The {self.name} answered {answer.status_code} with what is no JSON.") from error
