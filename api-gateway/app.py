"""The gateway: the one door to the shop. It finds the service behind a path and passes the request on."""

from functools import partial

from flask import Flask
from requests.adapters import BaseAdapter

from browsers import security_headers
from browsers.origins import Origins
from client_addresses import trust_proxies
from dispatcher import Dispatcher
from forwarding.proxy import Proxy
from forwarding.tunnel import Tunnels
from gateway_metrics import GatewayMetrics, Gauges
from limits.buckets import LocalBuckets, RedisBuckets
from limits.callers import ask_auth
from limits.rate_limits import Limits
from pages import api_docs, health
from settings import Settings
from shopkit import errors, headers, logs, metrics
from shopkit.http_client import ServiceClient
from shopkit.json_provider import OrjsonProvider
from shopkit.server import edge
from shopkit.service import run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    app.json = OrjsonProvider(app)
    app.config.update(SERVICE_NAME=health.NAME, PORT=settings.port)
    app.url_map.strict_slashes = app.url_map.merge_slashes = False  # a redirect would repeat the Host
    logs.init_app(app)
    counts = metrics.init_app(app)
    errors.init_app(app)
    headers.init_app(app)
    security_headers.init_app(app)
    origins = Origins(settings.origins, app)
    edge.declare(edge.Edge(security_headers.error_headers(origins), caps_addresses=not settings.trusted_proxies))
    app.before_request(health.keep_metrics_inside)
    clients = {
        name: [ServiceClient(name, url, adapter) for url in urls] for name, urls in settings.upstream_urls.items()
    }
    documents = {name: partial(api_docs.fetch_document, each) for name, each in clients.items()}
    for pages in (health.blueprint(clients), api_docs.blueprint(documents)):
        app.register_blueprint(pages)
        app.register_blueprint(pages, url_prefix="/api", name=f"api {pages.name}")

    gateway_metrics = GatewayMetrics(counts.registry)
    proxy = Proxy(settings, gateway_metrics, adapter)
    tunnels = Tunnels(proxy, settings.max_sockets, settings.max_sockets_per_address)
    counts.registry.register(Gauges(proxy.services.values(), tunnels, proxy.disk_space))
    buckets = RedisBuckets(settings.redis_url) if settings.redis_url else LocalBuckets()
    who_is = ask_auth(proxy.services["auth-service"], adapter)
    limits = Limits(
        settings.rates, buckets, who_is, gateway_metrics.limit_decisions, trusted_proxies=settings.trusted_proxies
    )
    dispatcher = Dispatcher(app.wsgi_app, proxy, tunnels, limits, origins, counts, settings.max_body_bytes)
    app.wsgi_app = trust_proxies(settings.trusted_proxies, dispatcher)  # type: ignore[assignment, method-assign]
    return app


if __name__ == "__main__":
    run(create_app())
