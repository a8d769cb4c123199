"""Passing a request on to a service and its answer back, both as they are and neither whole in memory if it is long."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from wsgiref.types import WSGIEnvironment

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse, Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from werkzeug import Request

from forwarding.headers import request_headers, response_headers
from forwarding.request_body import read_body
from forwarding.responses import HangUp, Response, UpstreamResponse
from forwarding.spool import CHUNK, DiskSpace, Spool
from forwarding.upstreams import Slot, UpstreamPool, in_words
from gateway_metrics import Counters
from limits.concurrency import ConcurrencyLimit, Permit
from routing import Route
from settings import Settings
from shopkit.addresses import network
from shopkit.errors import ShopError, UpstreamFailed, UpstreamTimeout
from shopkit.public_url import HEADER as PUBLIC_URL
from shopkit.public_url import is_loopback
from shopkit.server.sockets import was_reset
from shopkit.server.transport import SlimAdapter

logger = logging.getLogger(__name__)

# Sent twice, these do no more than sent once (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

# The adapter raises urllib3's errors, the networks of tests those of requests.
TRANSPORT_ERRORS = (requests.RequestException, HTTPError)
NOTHING_WAS_SENT = (NewConnectionError, ConnectTimeoutError, requests.ConnectTimeout)
TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError, requests.Timeout)


class Proxy:
    """The way to the services.

    :param adapter: another network, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        pools: Mapping[str, UpstreamPool],
        disk_space: DiskSpace,
        counters: Counters,
        adapter: BaseAdapter | None,
    ) -> None:
        self._pools = pools
        self._timeouts = {
            name: Timeout(connect=settings.connect_timeout[name], read=settings.read_timeout[name]) for name in pools
        }
        self._public_url = partial(_public_url, settings)
        self._counters = counters
        self._concurrency = ConcurrencyLimit(settings.max_in_flight_per_address)
        self._disk_space = disk_space
        self._space_for_bodies = DiskSpace(settings.max_spool_bytes)
        self._session = requests.Session()
        self._session.mount("http://", adapter or SlimAdapter())

    def forward(self, request: Request, route: Route) -> Response:
        return self.relay(self.send(request, route))

    def send(self, request: Request, route: Route, extra_headers: Mapping[str, str] | None = None) -> UpstreamResponse:
        """Send a request on.

        :raise TooManyRequests: as many of its address as may be are in progress, and for longer than one can wait.
        :raise Unavailable: the service is left alone for a while, as many as may be are waiting for it, or all large
            bodies together are as large as they may be.
        :raise UpstreamTimeout: it is too slow.
        :raise UpstreamFailed: it is away.
        :raise HangUp: nobody waits for the answer any more.
        """
        sending = self._prepare(request, route, extra_headers)
        if route.is_socket_io:  # long polls and sockets are in progress for as long as somebody listens
            return self._send(request, route, sending, None)
        permit = self._concurrency.acquire(route.service, network(request.remote_addr or ""))
        try:
            return self._send(request, route, sending, permit)
        except BaseException:
            permit.release()
            raise

    def _prepare(
        self, request: Request, route: Route, extra_headers: Mapping[str, str] | None
    ) -> requests.PreparedRequest:
        sending = requests.PreparedRequest()
        sending.method = request.method
        sending.headers = request_headers(request.environ, route)  # type: ignore[assignment]
        if public := self._public_url(request.environ):
            sending.headers[PUBLIC_URL] = public
        sending.headers.update(extra_headers or {})
        sending.body = read_body(request, self._space_for_bodies)
        return sending

    def _send(
        self, request: Request, route: Route, sending: requests.PreparedRequest, permit: Permit | None
    ) -> UpstreamResponse:
        client = request.environ.get("gunicorn.socket")
        preferred = _sticky_upstream(request) if route.is_socket_io else ""
        pool, leaves = self._pools[route.service], permit.leaves if permit else 0.0
        failed: Slot | None = None
        while True:
            slot = pool.take(preferred, failed, leaves=leaves, long_lived=route.is_socket_io)
            if client is not None and was_reset(client):
                slot.release()
                raise HangUp
            try:
                return UpstreamResponse(route.service, self._exchange(slot, route, sending), slot, permit)
            except TRANSPORT_ERRORS as error:
                if failed or not _may_retry(sending, error):
                    raise self.failure(route.service, error) from error
            self._counters.retries.labels(route.service).inc()
            preferred, failed = "", slot

    def _exchange(self, slot: Slot, route: Route, sending: requests.PreparedRequest) -> HTTPResponse:
        sending.url = slot.upstream.url + route.target
        if route.is_socket_io:
            sending.headers["X-Upstream"] = slot.upstream.name
        try:
            adapter = self._session.get_adapter(sending.url)
            raw = adapter.send(sending, stream=True, timeout=self._timeouts[route.service]).raw  # type: ignore[arg-type]
        except TRANSPORT_ERRORS as error:
            # A poll takes as long as its client lets it: whoever answers pings late must not close the chat to all.
            if not (route.is_socket_io and isinstance(error, ReadTimeoutError | requests.ReadTimeout)):
                slot.failed()
            slot.release()
            raise
        except BaseException:  # not the service's fault: the client's body, or the client itself
            slot.release()
            raise
        slot.succeeded()
        return raw

    def relay(self, response: UpstreamResponse) -> Response:
        """Give the answer of a service to the client: a short one whole, a long one as the client takes it."""
        raw = response.raw
        if raw.length_remaining is None or raw.length_remaining > CHUNK:
            body: Iterable[bytes] = _StreamedBody(self, response.service, Spool(response, self._disk_space))
        else:
            body = [self._read_whole(response)]
        return Response(raw.status, response_headers(raw.headers.items()), body, raw.reason or "")

    def _read_whole(self, response: UpstreamResponse) -> bytes:
        try:
            return response.raw.read()
        except HTTPError as error:
            response.slot.failed()
            raise self.failure(response.service, error) from error
        finally:
            response.close()

    def failure(self, service: str, error: Exception) -> ShopError:
        """Count it, and say what went wrong, but not where the service is."""
        is_slow = isinstance(error, TIMEOUTS) and not isinstance(error, NewConnectionError)
        self._counters.upstream_errors.labels(service, "timeout" if is_slow else "connection").inc()
        if is_slow:
            return UpstreamTimeout(f"The {in_words(service)} did not answer in time.")
        return UpstreamFailed(f"The {in_words(service)} is not available.")


class _StreamedBody:
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
            problem = self._proxy.failure(self._service, error)
            logger.error("%s It had begun to answer.", problem.message, exc_info=error)
            raise HangUp from None  # the status is out; only so does the client notice that something is missing
        finally:  # Werkzeug's server forgets to close what a client has left
            self.close()


def _may_retry(sending: requests.PreparedRequest, error: Exception) -> bool:
    if isinstance(error, NOTHING_WAS_SENT):
        return True
    # A kept-alive connection may have ended just now; a body that is under way cannot be sent again.
    is_whole = isinstance(sending.body, bytes | None)
    return is_whole and sending.method in IDEMPOTENT and not isinstance(error, TIMEOUTS)


def _sticky_upstream(request: Request) -> str:
    """Which upstream has this Socket.IO session. Its id begins with what we told the service: the upstream's name."""
    return request.args.get("sid", "").partition(".")[0]


def _public_url(settings: Settings, environ: WSGIEnvironment) -> str:
    """What stands before every path of the shop, or nothing if that is unclear: anybody may send any `Host`.

    A proxy that does not say under which host it was called has perhaps put ours in its place.
    """
    host = environ.get("HTTP_HOST", "")
    is_known = is_loopback(host) and (not settings.trusted_proxies or "HTTP_X_FORWARDED_HOST" in environ)
    return settings.public_url or (f"{environ['wsgi.url_scheme']}://{host}" if is_known else "")
