"""Every request comes in here: what leads to a service is passed on, everything else is answered by Flask."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug import Request
from werkzeug.exceptions import MethodNotAllowed

from browsers.origins import METHODS, VARY, Origins, is_preflight
from browsers.security_headers import security_headers_for
from forwarding.headers import Headers
from forwarding.proxy import Proxy
from forwarding.responses import HangUp, Response
from forwarding.tunnel import Tunnels
from limits.rate_limits import RateLimits
from routing import Route, find_route
from shopkit import errors, logs
from shopkit.errors import ShopError
from shopkit.metrics import Metrics


@dataclass(frozen=True)
class Dispatcher:
    """A WSGI application before that of Flask.

    Flask's contexts, matching and hooks cost as much as passing the request on. All that the gateway needs of them is a
    request id, a log line, a count, and errors answered as problems; for these it calls the kit's functions itself.

    :param pages: Flask's own WSGI application: the gateway's pages, preflights, and the 404 for every unknown path.
    """

    pages: WSGIApplication
    proxy: Proxy
    tunnels: Tunnels
    limits: RateLimits
    origins: Origins
    metrics: Metrics
    max_body_bytes: int

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The target as it was sent: WSGI's own path is decoded, and could not be passed on unchanged.
        route = find_route(environ["RAW_URI"])
        if route is None or is_preflight(environ):
            return self._answer_with_page(environ, start_response)
        began = time.perf_counter()
        logs.begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
        request = Request(environ)
        request.max_content_length = self.max_body_bytes
        response = self._answer(request, route)
        self._record(request, f"/{route.first_segment}", response, began)
        return response.start(environ, start_response)

    def _answer_with_page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        request = Request(environ)
        try:
            limits = self.limits.admit_page(request, is_preflight=is_preflight(environ)).items()
        except ShopError as error:
            logs.begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
            response = _problem(error)
            self._add_own_headers(request, response.headers)
            self._record(request, "refused", response, began)
            return response.start(environ, start_response)

        def start(status: str, headers: Headers, *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *limits], *exc_info)

        return self.pages(environ, start)

    def _answer(self, request: Request, route: Route) -> Response:
        limits: dict[str, str] = {}
        try:
            limits = self.limits.admit(request, route)
            if request.method not in METHODS:
                raise MethodNotAllowed(METHODS)
            response = self._forward(request, route)
        except HangUp:  # nobody is there to be answered
            raise
        except Exception as error:  # the one place that turns errors into answers, here as in Flask
            response = _problem(error)
        response.headers += limits.items()
        self._add_own_headers(request, response.headers)
        return response

    def _record(self, request: Request, rule: str, response: Response, began: float) -> None:
        seconds = time.perf_counter() - began
        logs.finish_request(request.method, request.path, response.status, seconds)
        self.metrics.finish_request(request.method, rule, response.status, seconds)

    def _forward(self, request: Request, route: Route) -> Response:
        if route.is_socket_io and request.environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            self.origins.refuse_unknown_origin(request)
            return self.tunnels.open(request, route)
        return self.proxy.forward(request, route)

    def _add_own_headers(self, request: Request, headers: Headers) -> None:
        headers.append(("X-Request-ID", logs.request_id()))
        headers += [VARY, *self.origins.cors_headers(request)]
        headers += security_headers_for(request.scheme, headers)


def _problem(error: Exception) -> Response:
    problem = errors.answer(error)
    return Response(problem.status_code, list(problem.headers.items()), [problem.get_data()])
