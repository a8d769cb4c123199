"""Every request comes in here: what leads to a service is passed on, everything else is answered by Flask."""

import time
from typing import TYPE_CHECKING

from werkzeug import Request
from werkzeug.exceptions import MethodNotAllowed

from limits import Limits
from origins import METHODS, Origins, is_preflight
from proxy import Headers, Proxy, Reply
from routing import Route, find
from security import hardening
from shopkit import errors, logs
from shopkit.metrics import Metrics
from tunnel import Tunnels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Door:
    """A WSGI application before that of Flask.

    What Flask does around each request, its contexts, its matching, its hooks, costs as much as all the rest of passing
    one on. The gateway needs of it: an id, a line in the log, a count, problems as answers. So it is done here, with
    the same functions of the kit.

    :param pages: Flask's own WSGI application: the gateway's pages, preflights, and the 404 for whatever there is not.
    """

    def __init__(
        self,
        pages: "WSGIApplication",
        proxy: Proxy,
        tunnels: Tunnels,
        limits: Limits,
        origins: Origins,
        metrics: Metrics,
        max_body_bytes: int,
    ) -> None:
        self._pages = pages
        self._proxy = proxy
        self._tunnels = tunnels
        self._limits = limits
        self._origins = origins
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        # The target as it was sent: WSGI's own path is decoded, and could not be passed on unchanged.
        route = find(environ["RAW_URI"])
        if route is None or is_preflight(environ):
            return self._pages(environ, start_response)
        began = time.perf_counter()
        logs.begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
        request = Request(environ)
        request.max_content_length = self._max_body_bytes
        reply = self._answer(request, route)
        seconds = time.perf_counter() - began
        logs.finish_request(request.method, request.path, reply.status, seconds)
        self._metrics.finish_request(request.method, f"/{route.entry}", reply.status, seconds)
        return reply.start(environ, start_response)

    def _answer(self, request: Request, route: Route) -> Reply:
        limits: dict[str, str] = {}
        try:
            if request.method not in METHODS:
                raise MethodNotAllowed(METHODS)
            limits = self._limits.admit(request, route)
            reply = self._pass_on(request, route)
        except Exception as error:
            problem = errors.answer(error)
            reply = Reply(problem.status_code, list(problem.headers.items()), [problem.get_data()])
        reply.headers += limits.items()
        self._add_ours(request, reply.headers)
        return reply

    def _pass_on(self, request: Request, route: Route) -> Reply:
        if route.is_session and request.environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            self._origins.refuse_strangers(request)
            return self._tunnels.open(request, route)
        return self._proxy.forward(request, route)

    def _add_ours(self, request: Request, headers: Headers) -> None:
        headers.append(("X-Request-ID", logs.request_id()))
        headers += self._origins.permissions(request)
        headers += hardening(request.scheme, headers)
