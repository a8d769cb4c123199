"""Passing a request on to a service and its answer back, both as they are and neither ever whole in memory."""

import errno
import logging
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from math import ceil
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse, Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from werkzeug import Request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import LimitedStream

from measures import Measures
from routing import Route
from settings import Settings
from shopkit.errors import BadRequest, ShopError, UpstreamFailed, UpstreamTimeout
from shopkit.logs import request_id
from shopkit.public_url import HEADER as PUBLIC_URL
from shopkit.public_url import is_loopback
from shopkit.server.transport import SlimAdapter
from upstreams import Place, Service, Upstream, in_words

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024
HELD_BACK = 1024 * 1024  # as much as services take of JSON

# RFC 9110, section 7.6.1: these belong to one connection and are not passed on.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
# Not taken over from a client's request: we say these ourselves, or our server has dealt with them (`Expect`).
OURS_TO_SAY = (
    HOP_BY_HOP
    | {"content-length", "expect", "forwarded", "host", "x-real-ip", "x-request-id", "x-upstream"}
    | {"x-service-authorization"}
    | {PUBLIC_URL.lower()}
)
# Not taken over from a service's answer.
OURS_TO_ANSWER = HOP_BY_HOP | {"date", "server", "x-request-id"}
# Sent twice, these do no more than sent once (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

# The adapter raises urllib3's errors, the networks of tests those of requests.
TRANSPORT_ERRORS = (requests.RequestException, HTTPError)
NOTHING_WAS_SENT = (NewConnectionError, ConnectTimeoutError, requests.ConnectTimeout)
TOO_SLOW = (ConnectTimeoutError, ReadTimeoutError, requests.Timeout)

Headers = list[tuple[str, str]]


class HangUp(ConnectionResetError):
    """Ends the client's connection. To the server it looks as if the client had gone, so it adds nothing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the connection has served its purpose")


@dataclass(slots=True)
class Answer:
    """What a service answers, its body still to be read; it holds its place there until it is closed."""

    service: str
    raw: HTTPResponse
    place: Place

    def close(self) -> None:
        self.raw.close()  # which breaks off what is not read to its end
        self.place.leave()


@dataclass(slots=True)
class Reply:
    """What the client is told."""

    status: int
    headers: Headers
    body: Iterable[bytes]
    reason: str = ""

    def start(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(f"{self.status} {self.reason or _phrase(self.status)}", self.headers)
        return self.body


class Proxy:
    """The way to the services.

    :param adapter: another network, for tests.
    """

    def __init__(self, settings: Settings, measures: Measures, adapter: BaseAdapter | None) -> None:
        self.services = {
            name: Service(name, [Upstream(url, ceil(settings.max_in_flight[name])) for url in urls])
            for name, urls in settings.upstream_urls.items()
        }
        self._timeouts = {
            name: Timeout(connect=settings.connect_timeout[name], read=settings.read_timeout[name])
            for name in self.services
        }
        self._public_url = partial(_public_url, settings)
        self._measures = measures
        self._session = requests.Session()
        self._session.mount("http://", adapter or SlimAdapter())

    def forward(self, request: Request, route: Route) -> Reply:
        return self.relay(self.send(request, route))

    def send(self, request: Request, route: Route, extra_headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request on.

        :raise Unavailable: the service is left alone for a while, or as many as may be are waiting for it.
        :raise UpstreamTimeout: it is too slow.
        :raise UpstreamFailed: it is away.
        """
        sending = requests.PreparedRequest()
        sending.method = request.method
        sending.headers = _headers(request.environ, route)  # type: ignore[assignment]
        if public := self._public_url(request.environ):
            sending.headers[PUBLIC_URL] = public
        sending.headers.update(extra_headers or {})
        sending.body = _body(request)
        service = self.services[route.service]
        place = service.take(_instance(request, route))
        try:
            return self._ask(place, route, sending)
        except TRANSPORT_ERRORS as error:
            if not _may_be_sent_again(sending, error):
                raise self._problem(route.service, error) from error
            self._measures.retries.labels(route.service).inc()
        place = service.take(but=place)
        try:
            return self._ask(place, route, sending)
        except TRANSPORT_ERRORS as error:
            raise self._problem(route.service, error) from error

    def _ask(self, place: Place, route: Route, sending: requests.PreparedRequest) -> Answer:
        sending.url = place.url + route.target
        if route.is_session:
            sending.headers["X-Upstream"] = place.name
        try:
            adapter = self._session.get_adapter(sending.url)
            raw = adapter.send(sending, stream=True, timeout=self._timeouts[route.service]).raw  # type: ignore[arg-type]
        except TRANSPORT_ERRORS:
            place.failed()
            place.leave()
            raise
        except BaseException:  # not the service's fault: the client's body, or the client itself
            place.leave()
            raise
        place.succeeded()
        return Answer(route.service, raw, place)

    def relay(self, answer: Answer) -> Reply:
        """Give the answer of a service to the client: a short one whole, a long one as it arrives."""
        raw = answer.raw
        length = raw.length_remaining
        is_short = length is not None and length <= CHUNK
        body = [self._whole(answer)] if is_short else _Arriving(self, answer)
        headers = _passed_on(raw.headers.items(), OURS_TO_ANSWER, "access-control-")
        return Reply(raw.status, headers, body, raw.reason or "")

    def _whole(self, answer: Answer) -> bytes:
        try:
            return answer.raw.read()
        except HTTPError as error:
            raise self._broke_off(answer, error) from error
        finally:
            answer.close()

    def next_chunk(self, answer: Answer) -> bytes:
        try:
            return answer.raw.read1(CHUNK)
        except HTTPError as error:
            problem = self._broke_off(answer, error)
            logger.error("%s It had begun to answer.", problem.message, exc_info=error)
            raise HangUp from None  # the status is out; only so does the client notice that something is missing

    def _broke_off(self, answer: Answer, error: Exception) -> ShopError:
        answer.place.failed()
        return self._problem(answer.service, error)

    def _problem(self, service: str, error: Exception) -> ShopError:
        """Say what went wrong, but not where the service is."""
        is_slow = isinstance(error, TOO_SLOW) and not isinstance(error, NewConnectionError)
        self._measures.upstream_errors.labels(service, "timeout" if is_slow else "connection").inc()
        if is_slow:
            return UpstreamTimeout(f"The {in_words(service)} did not answer in time.")
        return UpstreamFailed(f"The {in_words(service)} is not available.")


class _Arriving:
    """The body of an answer, as it arrives. Unlike a generator it is closed, too, if it has never begun."""

    def __init__(self, proxy: Proxy, answer: Answer) -> None:
        self._chunks = iter(partial(proxy.next_chunk, answer), b"")
        self.close = answer.close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        finally:  # Werkzeug's server forgets to close what a client has left
            self.close()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # it need not be a registered one
        return "Unknown"


def _may_be_sent_again(sending: requests.PreparedRequest, error: Exception) -> bool:
    if isinstance(error, NOTHING_WAS_SENT):
        return True
    # A kept-alive connection may have ended just now; a body that is under way cannot be sent again.
    is_whole = isinstance(sending.body, bytes | None)
    return is_whole and sending.method in IDEMPOTENT and not isinstance(error, TOO_SLOW)


def _instance(request: Request, route: Route) -> str:
    """Which upstream has this Socket.IO session. Its id begins with what we told the service: the upstream's name."""
    return request.args.get("sid", "").partition(".")[0] if route.is_session else ""


def _headers(environ: "WSGIEnvironment", route: Route) -> dict[str, str]:
    sent = [(_name(key), text) for key, text in environ.items() if key.startswith("HTTP_")]
    headers = dict(_passed_on(sent, OURS_TO_SAY, "x-forwarded-"))
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[_name("HTTP_" + key)] = environ[key]
    if route.prefix:
        headers["X-Forwarded-Prefix"] = route.prefix
    headers["X-Forwarded-For"] = environ.get("REMOTE_ADDR", "")
    headers["X-Forwarded-Proto"] = environ["wsgi.url_scheme"]
    headers["X-Forwarded-Host"] = environ.get("HTTP_HOST", "")
    headers["X-Request-ID"] = request_id()
    return headers


def _public_url(settings: Settings, environ: "WSGIEnvironment") -> str:
    """What stands before every path of the shop, or nothing if that is unclear: anybody may send any `Host`.

    A proxy that does not say under which host it was called has perhaps put ours in its place.
    """
    host = environ.get("HTTP_HOST", "")
    is_known = is_loopback(host) and (not settings.trusted_proxies or "HTTP_X_FORWARDED_HOST" in environ)
    return settings.public_url or (f"{environ['wsgi.url_scheme']}://{host}" if is_known else "")


@lru_cache(1000)
def _name(key: str) -> str:
    """`HTTP_ACCEPT_LANGUAGE` of WSGI as `Accept-Language`."""
    return key[5:].replace("_", "-").title()


def _passed_on(headers: Iterable[tuple[str, str]], not_these: AbstractSet[str], nor_this_prefix: str) -> Headers:
    """The headers without those of the connection: the known ones, and those that `Connection` names."""
    kept, options = [], ""
    for each in headers:
        name = each[0].lower()
        if name == "connection":
            options += "," + each[1].lower()
        elif name not in not_these and not name.startswith(nor_this_prefix):
            kept.append(each)
    if options in ("", ",keep-alive", ",close"):
        return kept
    named = {option.strip() for option in options.split(",")}
    return [each for each in kept if each[0].lower() not in named]


def _body(request: Request) -> Any:
    """The body of a request: short ones whole, so that they can be sent again, very long ones as they arrive."""
    if not request.environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in request.environ:
        return None
    length = request.content_length
    if length is not None and length <= CHUNK:
        return request.get_data()
    stream = request.stream  # refuses what says that it is longer than it may be
    body = _held_back(_chunks(stream if length is None else LimitedStream(request.environ["wsgi.input"], length)))
    next(body)
    return body


def _held_back(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Wait for so much of a body before a service is asked: who sends it slowly must not hold one of its few threads.

    That happens when this is first advanced; the first item is empty, and not part of the body.
    """
    with SpooledTemporaryFile(max_size=CHUNK) as file:
        while file.tell() < HELD_BACK and (chunk := next(chunks, b"")):
            file.write(chunk)
        file.seek(0)
        yield b""
        yield from iter(partial(file.read, CHUNK), b"")
    yield from chunks


def _chunks(stream: Any) -> Iterator[bytes]:
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
    except HTTPException:
        raise
    except Exception as error:  # each server has its own for what is not properly chunked
        raise BadRequest("The body cannot be read.", code="unreadable_body") from error
