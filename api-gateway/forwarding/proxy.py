"""Passing a request on to a service and its answer back, both as they are and neither whole in memory if it is long."""

import errno
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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

from forwarding.headers import Headers, for_client, for_service
from forwarding.spool import DiskSpace, Spool
from forwarding.upstreams import Service, Slot, Upstream, in_words
from gateway_metrics import GatewayMetrics
from limits.concurrency import ConcurrencyLimit, Permit
from routing import Route
from settings import Settings
from shopkit.addresses import network
from shopkit.errors import BadRequest, ShopError, UpstreamFailed, UpstreamTimeout
from shopkit.public_url import HEADER as PUBLIC_URL
from shopkit.public_url import is_loopback
from shopkit.server.transport import SlimAdapter, break_off

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

CHUNK = 64 * 1024
HELD_BACK = 1024 * 1024  # as much as services take of JSON

# Sent twice, these do no more than sent once (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

# The adapter raises urllib3's errors, the networks of tests those of requests.
TRANSPORT_ERRORS = (requests.RequestException, HTTPError)
NOTHING_WAS_SENT = (NewConnectionError, ConnectTimeoutError, requests.ConnectTimeout)
TOO_SLOW = (ConnectTimeoutError, ReadTimeoutError, requests.Timeout)


class HangUp(ConnectionResetError):
    """Ends the client's connection. To the server it looks as if the client had gone, so it adds nothing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the connection has served its purpose")


@dataclass(slots=True)
class Answer:
    """What a service answers, its body still to be read; it holds its slot there until it is closed."""

    service: str
    raw: HTTPResponse
    slot: Slot
    permit: Permit | None
    is_broken_off: bool = False

    def read(self) -> bytes:
        """Some more of the body, as soon as it is there; nothing at its end.

        :raise HTTPError: it breaks off.
        """
        try:
            return self.raw.read1(CHUNK)
        except HTTPError:
            if not self.is_broken_off:
                self.slot.failed()
            raise

    def break_off(self) -> None:
        self.is_broken_off = True
        break_off(self.raw)

    def close(self) -> None:
        self.raw.close()  # which breaks off what is not read to its end
        self.slot.release()
        if self.permit:
            self.permit.release()


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

    def __init__(self, settings: Settings, metrics: GatewayMetrics, adapter: BaseAdapter | None) -> None:
        self.services = {
            name: Service(name, [Upstream(url, ceil(settings.max_in_flight[name])) for url in urls])
            for name, urls in settings.upstream_urls.items()
        }
        self._timeouts = {
            name: Timeout(connect=settings.connect_timeout[name], read=settings.read_timeout[name])
            for name in self.services
        }
        self._public_url = partial(_public_url, settings)
        self._metrics = metrics
        self._concurrency = ConcurrencyLimit(settings.max_in_flight_per_address)
        self.disk_space = DiskSpace(settings.max_spool_bytes)
        self._session = requests.Session()
        self._session.mount("http://", adapter or SlimAdapter())

    def forward(self, request: Request, route: Route) -> Reply:
        return self.relay(self.send(request, route))

    def send(self, request: Request, route: Route, extra_headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request on.

        :raise TooManyRequests: as many of its address as may be are in progress, and for longer than one can wait.
        :raise Unavailable: the service is left alone for a while, or as many as may be are waiting for it.
        :raise UpstreamTimeout: it is too slow.
        :raise UpstreamFailed: it is away.
        """
        sending = requests.PreparedRequest()
        sending.method = request.method
        sending.headers = for_service(request.environ, route)  # type: ignore[assignment]
        if public := self._public_url(request.environ):
            sending.headers[PUBLIC_URL] = public
        sending.headers.update(extra_headers or {})
        sending.body = _body(request)
        if route.is_session:  # long polls and sockets are in progress for as long as somebody listens
            return self._send(request, route, sending, None)
        permit = self._concurrency.acquire(route.service, network(request.remote_addr or ""))
        try:
            return self._send(request, route, sending, permit)
        except BaseException:
            permit.release()
            raise

    def _send(self, request: Request, route: Route, sending: requests.PreparedRequest, permit: Permit | None) -> Answer:
        service, of_many = self.services[route.service], permit is not None and permit.is_one_of_many
        slot = service.take(_instance(request, route), of_many=of_many)
        try:
            return Answer(route.service, self._ask(slot, route, sending), slot, permit)
        except TRANSPORT_ERRORS as error:
            if not _may_be_sent_again(sending, error):
                raise self.problem(route.service, error) from error
            self._metrics.retries.labels(route.service).inc()
        slot = service.take(but=slot, of_many=of_many)
        try:
            return Answer(route.service, self._ask(slot, route, sending), slot, permit)
        except TRANSPORT_ERRORS as error:
            raise self.problem(route.service, error) from error

    def _ask(self, slot: Slot, route: Route, sending: requests.PreparedRequest) -> HTTPResponse:
        sending.url = slot.url + route.target
        if route.is_session:
            sending.headers["X-Upstream"] = slot.name
        try:
            adapter = self._session.get_adapter(sending.url)
            raw = adapter.send(sending, stream=True, timeout=self._timeouts[route.service]).raw  # type: ignore[arg-type]
        except TRANSPORT_ERRORS as error:
            # A poll takes as long as its client lets it: whoever answers pings late must not close the chat to all.
            if not (route.is_session and isinstance(error, ReadTimeoutError | requests.ReadTimeout)):
                slot.failed()
            slot.release()
            raise
        except BaseException:  # not the service's fault: the client's body, or the client itself
            slot.release()
            raise
        slot.succeeded()
        return raw

    def relay(self, answer: Answer) -> Reply:
        """Give the answer of a service to the client: a short one whole, a long one as the client takes it."""
        raw = answer.raw
        length = raw.length_remaining
        is_short = length is not None and length <= CHUNK
        body = [self._whole(answer)] if is_short else _Arriving(self, answer.service, Spool(answer, self.disk_space))
        headers = for_client(raw.headers.items())
        return Reply(raw.status, headers, body, raw.reason or "")

    def _whole(self, answer: Answer) -> bytes:
        try:
            return answer.raw.read()
        except HTTPError as error:
            answer.slot.failed()
            raise self.problem(answer.service, error) from error
        finally:
            answer.close()

    def problem(self, service: str, error: Exception) -> ShopError:
        """Say what went wrong, but not where the service is."""
        is_slow = isinstance(error, TOO_SLOW) and not isinstance(error, NewConnectionError)
        self._metrics.upstream_errors.labels(service, "timeout" if is_slow else "connection").inc()
        if is_slow:
            return UpstreamTimeout(f"The {in_words(service)} did not answer in time.")
        return UpstreamFailed(f"The {in_words(service)} is not available.")


class _Arriving:
    """The body of an answer, as it arrives. Unlike a generator it is closed, too, if it has never begun."""

    def __init__(self, proxy: Proxy, service: str, spool: Spool) -> None:
        self._proxy = proxy
        self._service = service
        self._spool = spool
        self.close = spool.close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._spool
        except (HTTPError, OSError) as error:
            problem = self._proxy.problem(self._service, error)
            logger.error("%s It had begun to answer.", problem.message, exc_info=error)
            raise HangUp from None  # the status is out; only so does the client notice that something is missing
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


def _public_url(settings: Settings, environ: "WSGIEnvironment") -> str:
    """What stands before every path of the shop, or nothing if that is unclear: anybody may send any `Host`.

    A proxy that does not say under which host it was called has perhaps put ours in its place.
    """
    host = environ.get("HTTP_HOST", "")
    is_known = is_loopback(host) and (not settings.trusted_proxies or "HTTP_X_FORWARDED_HOST" in environ)
    return settings.public_url or (f"{environ['wsgi.url_scheme']}://{host}" if is_known else "")


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
