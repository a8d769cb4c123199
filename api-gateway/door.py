"""Every request comes in here: what leads to a service is passed on, everything else is answered by Flask."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug import Request
from werkzeug.exceptions import MethodNotAllowed

from limits import Limits
from origins import METHODS, VARY, Origins, is_preflight
from proxy import Headers, Proxy, Reply
from routing import Route, find
from security import hardening
from shopkit import errors, logs
from shopkit.metrics import Metrics
from tunnel import Tunnels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Door:
    """A WSGI application before that of Flask.

    Flask's contexts, matching and hooks cost as much as passing the request on. All that the gateway needs of them is a
    request id, a log line, a count, and errors answered as problems; for these it calls the kit's functions itself.

    :param pages: Flask's own WSGI application: the gateway's pages, preflights, and the 404 for every unknown path.
    """

    pages: "WSGIApplication"
    proxy: Proxy
    tunnels: Tunnels
    limits: Limits
    origins: Origins
    metrics: Metrics
    max_body_bytes: int

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        # The target as it was sent: WSGI's own path is decoded, and could not be passed on unchanged.
        route = find(environ["RAW_URI"])
        if route is None or is_preflight(environ):
            return self.pages(environ, start_response)
        began = time.perf_counter()
        logs.begin_request(environ.get("HTTP_X_REQUEST_ID", ""))
        request = Request(environ)
        request.max_content_length = self.max_body_bytes
        reply = self._answer(request, route)
        seconds = time.perf_counter() - began
        logs.finish_request(request.method, request.path, reply.status, seconds)
        self.metrics.finish_request(request.method, f"/{route.entry}", reply.status, seconds)
        return reply.start(environ, start_response)

    def _answer(self, request: Request, route: Route) -> Reply:
        limits: dict[str, str] = {}
        try:
            if request.method not in METHODS:
                raise MethodNotAllowed(METHODS)
            limits = self.limits.admit(request, route)
            reply = self._pass_on(request, route)
        except Exception as error:  # the one place that turns errors into answers, here as in Flask
            problem = errors.answer(error)
            reply = Reply(problem.status_code, list(problem.headers.items()), [problem.get_data()])
        reply.headers += limits.items()
        self._add_ours(request, reply.headers)
        return reply

    def _pass_on(self, request: Request, route: Route) -> Reply:
        if route.is_session and request.environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            self.origins.refuse_strangers(request)
            return self.tunnels.open(request, route)
        return self.proxy.forward(request, route)

    def _add_ours(self, request: Request, headers: Headers) -> None:
        headers.append(("X-Request-ID", logs.request_id()))
        headers += [VARY, *self.origins.permissions(request)]
        headers += hardening(request.scheme, headers)
