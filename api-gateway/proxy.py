"""Passing a request on to a service and its answer back, both as they are and neither ever whole in memory."""

import errno
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from flask import Response, request
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPResponse, Retry
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util import SKIP_HEADER
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import LimitedStream

from routing import Route
from shopkit.errors import BadRequest, UpstreamFailed, UpstreamTimeout
from shopkit.logs import request_id

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024
POOL_SIZE = 256  # idle connections kept to each service

# RFC 9110, section 7.6.1: these belong to one connection and are not passed on.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
# We say these ourselves, or the server we run on has dealt with them already (`Expect`).
OURS_TO_SAY = frozenset({"host", "content-length", "expect", "forwarded", "x-real-ip", "x-request-id"})
# That server says these in answers.
SERVERS_TO_SAY = frozenset({"date", "server"})
# Nothing happens twice if one of these is sent twice (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_TARGET = ":path"


class HangUp(ConnectionResetError):
    """Ends the client's connection. To the server it looks as if the client had gone, so it adds nothing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the connection has served its purpose")


class Proxy:
    """The way to the services.

    :param urls: where they are, by name.
    :param timeout: seconds to wait for a connection, and for the next piece of an answer.
    :param adapter: another network, for tests.
    """

    def __init__(self, urls: Mapping[str, str], timeout: tuple[float, float], adapter: BaseAdapter | None) -> None:
        self._urls = urls
        self._timeout = timeout
        # It repeats nothing by itself: what may be sent again depends on the body, which it does not look at.
        self._adapter = adapter or _Adapter(pool_maxsize=POOL_SIZE, max_retries=Retry(False))

    def forward(self, route: Route) -> Response:
        return relay(route, self.send(route))

    def send(self, route: Route, extra_headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """Send the current request on; the body of the answer is still to be read.

        :raise UpstreamTimeout: the service is too slow.
        :raise UpstreamFailed: the service is away.
        """
        sending = requests.PreparedRequest()
        sending.method = request.method
        sending.url = self._urls[route.service] + route.target
        sending.headers = CaseInsensitiveDict({**_headers(route), **(extra_headers or {})})
        sending.body = _body()
        with _failures_of(route.service):
            try:
                return self._answer(sending)
            except NewConnectionError:
                pass  # nothing was sent
            except requests.ConnectionError:
                # A kept-alive connection may have ended just now; a body that is under way cannot be sent again.
                if request.method not in IDEMPOTENT or not isinstance(sending.body, bytes | None):
                    raise
            return self._answer(sending)

    def _answer(self, sending: requests.PreparedRequest) -> HTTPResponse:
        answer: HTTPResponse = self._adapter.send(sending, stream=True, timeout=self._timeout).raw
        return answer


def relay(route: Route, answer: HTTPResponse) -> Response:
    """Give the answer of a service to the client: a short one whole, a long one as it arrives."""
    is_short = answer.length_remaining is not None and answer.length_remaining <= CHUNK
    with _failures_of(route.service):
        body = answer.read() if is_short else _arriving(route, answer)
    response = Response(body, answer.status, direct_passthrough=True)
    response.headers = Headers(_without(answer.headers.items(), HOP_BY_HOP | SERVERS_TO_SAY, "access-control-"))
    return response


def _arriving(route: Route, answer: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except HTTPError as error:
        logger.error("the %s broke off its answer", route.service, exc_info=error)
        raise HangUp from None  # the status is out already; only so does the client notice that something is missing
    finally:
        answer.close()  # which breaks off what is not read to its end because the client has gone


def _headers(route: Route) -> dict[str, str]:
    return {
        **dict(_without(request.headers, HOP_BY_HOP | OURS_TO_SAY, "x-forwarded-")),
        **({} if request.content_length is None else {"Content-Length": str(request.content_length)}),
        **({"X-Forwarded-Prefix": route.prefix} if route.prefix else {}),
        "X-Forwarded-For": request.remote_addr or "",
        "X-Forwarded-Proto": request.scheme,
        "X-Forwarded-Host": request.headers.get("Host", ""),
        "X-Request-ID": request_id(),
    }


def _without(headers: Iterable[tuple[str, str]], names: frozenset[str], prefix: str) -> list[tuple[str, str]]:
    """The headers but for these, and for those that `Connection` names."""
    headers = list(headers)
    named = {
        each.strip().lower() for name, value in headers if name.lower() == "connection" for each in value.split(",")
    }
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in names | named and not name.lower().startswith(prefix)
    ]


def _body() -> Any:
    """The body of the current request: short ones whole, so that they can be sent again, long ones as they arrive."""
    stream = request.stream  # refuses what says that it is longer than it may be
    if request.content_length is None:
        chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        return _chunks(stream) if chunked else None
    whole = LimitedStream(request.environ["wsgi.input"], request.content_length)
    return whole.readall() if request.content_length <= CHUNK else _chunks(whole)


def _chunks(stream: Any) -> Iterator[bytes]:
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
    except HTTPException:
        raise
    except Exception as error:  # each server has its own for what is not properly chunked
        raise BadRequest("The body cannot be read.", code="unreadable_body") from error


@contextmanager
def _failures_of(service: str) -> Iterator[None]:
    """Say what went wrong, but not where the service is."""
    name = service.replace("-", " ")
    try:
        yield
    except NewConnectionError as error:
        raise UpstreamFailed(f"The {name} is not available.") from error
    except (requests.Timeout, ConnectTimeoutError, ReadTimeoutError) as error:
        raise UpstreamTimeout(f"The {name} did not answer in time.") from error
    except (requests.RequestException, HTTPError) as error:
        raise UpstreamFailed(f"The {name} is not available.") from error


class _Connection(HTTPConnection):
    """Sends what it is told to: no headers of its own making, and no other spelling of the target."""

    def request(  # type: ignore[override]
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        exact = {"Accept-Encoding": SKIP_HEADER, "User-Agent": SKIP_HEADER, **(headers or {})}
        super().request(method, exact.pop(_TARGET), body, exact, **options)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    """`requests`' own transport, but for the connections: it would encode targets anew and add headers."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        request.headers[_TARGET] = "/" + str(request.url).split("/", 3)[3]
