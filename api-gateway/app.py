"""The gateway: the one door to the shop. It finds the service behind a path and passes the request on."""

from flask import Flask, Response, request
from requests.adapters import BaseAdapter

import health
import origins
from proxy import Proxy
from routing import Route, find
from settings import Settings
from shopkit import errors, logs, metrics
from shopkit.errors import NotFound
from shopkit.http_client import ServiceClient
from shopkit.json_provider import OrjsonProvider
from shopkit.service import run
from tunnel import Tunnels


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    app.json = OrjsonProvider(app)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config.update(SERVICE_NAME=health.NAME, PORT=settings.port, MAX_CONTENT_LENGTH=settings.max_body_bytes)
    logs.init_app(app)
    metrics.init_app(app)
    errors.init_app(app)
    origins.init_app(app, settings.origins)
    app.before_request(health.keep_metrics_inside)
    about = health.blueprint([ServiceClient(name, url, adapter) for name, url in settings.service_urls.items()])
    app.register_blueprint(about)
    app.register_blueprint(about, url_prefix="/api", name="api")

    proxy = Proxy(settings.service_urls, (settings.connect_timeout, settings.read_timeout), adapter)
    tunnels = Tunnels(proxy, settings.max_sockets, settings.origins)

    @app.route("/<path:_>", methods=origins.METHODS, provide_automatic_options=False)
    def pass_on(_: str) -> Response:
        return proxy.forward(_way())

    @app.route("/socket.io/", websocket=True)
    @app.route("/api/socket.io/", websocket=True)
    def open_socket() -> Response:
        return tunnels.open(_way())

    return app


def _way() -> Route:
    # The target as it was sent: Werkzeug's own path is decoded, and could not be passed on unchanged.
    route = find(request.environ["RAW_URI"])
    if route is None:
        raise NotFound("There is nothing here.")
    return route


app = create_app()

if __name__ == "__main__":
    run(app)
