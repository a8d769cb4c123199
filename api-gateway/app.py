"""The gateway: the one door to the shop. It finds the service behind a path and passes the request on."""

from functools import partial
from math import ceil

from flask import Flask
from requests.adapters import BaseAdapter

from browsers import security_headers
from browsers.origins import Origins
from client_addresses import trust_proxies
from dispatcher import Dispatcher
from forwarding.proxy import Proxy
from forwarding.spool import DiskSpace
from forwarding.tunnel import Tunnels
from forwarding.upstreams import Upstream, UpstreamPool
from gateway_metrics import Counters, Gauges
from limits.buckets import LocalBuckets, RedisBuckets
from limits.callers import introspection
from limits.rate_limits import RateLimits
from pages import api_docs, health
from settings import Settings
from shopkit import errors, headers, logs, metrics
from shopkit.http_client import ServiceClient
from shopkit.json_provider import OrjsonProvider
from shopkit.metrics import Metrics
from shopkit.server import edge
from shopkit.service import run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    app.json = OrjsonProvider(app)
    app.config.update(SERVICE_NAME=health.NAME, PORT=settings.port)
    app.url_map.strict_slashes = app.url_map.merge_slashes = False  # a redirect would repeat the Host
    logs.init_app(app)
    app_metrics = metrics.init_app(app)
    errors.init_app(app)
    headers.init_app(app)
    security_headers.init_app(app)
    origins = Origins(settings.origins, app)
    edge.declare(edge.Edge(security_headers.error_headers(origins), caps_addresses=not settings.trusted_proxies))
    _add_pages(app, settings, adapter)
    dispatcher = _dispatcher(app, settings, origins, app_metrics, adapter)
    app.wsgi_app = trust_proxies(settings.trusted_proxies, dispatcher)  # type: ignore[assignment, method-assign]
    return app


def _add_pages(app: Flask, settings: Settings, adapter: BaseAdapter | None) -> None:
    clients = {
        name: [ServiceClient(name, url, adapter) for url in urls] for name, urls in settings.upstream_urls.items()
    }
    documents = {name: partial(api_docs.fetch_document, each) for name, each in clients.items()}
    app.before_request(health.restrict_metrics)
    for pages in (health.blueprint(clients), api_docs.blueprint(documents)):
        app.register_blueprint(pages)
        app.register_blueprint(pages, url_prefix="/api", name=f"api {pages.name}")


def _dispatcher(
    app: Flask, settings: Settings, origins: Origins, app_metrics: Metrics, adapter: BaseAdapter | None
) -> Dispatcher:
    counters = Counters(app_metrics.registry)
    pools = {
        name: UpstreamPool(name, [Upstream(url, ceil(settings.max_in_flight[name])) for url in urls])
        for name, urls in settings.upstream_urls.items()
    }
    disk_space = DiskSpace(settings.max_spool_bytes)
    proxy = Proxy(settings, pools, disk_space, counters, adapter)
    tunnels = Tunnels(proxy, settings.max_sockets, settings.max_sockets_per_address)
    app_metrics.registry.register(Gauges(pools.values(), tunnels, disk_space))
    limits = RateLimits(
        settings.rates,
        RedisBuckets(settings.redis_url) if settings.redis_url else LocalBuckets(),
        introspection(pools["auth-service"], adapter),
        counters.limit_decisions,
        trusted_proxies=settings.trusted_proxies,
    )
    return Dispatcher(app.wsgi_app, proxy, tunnels, limits, origins, app_metrics, settings.max_body_bytes)


if __name__ == "__main__":
    run(create_app())
