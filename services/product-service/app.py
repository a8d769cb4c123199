"""The product service: what can be bought, what customers think of it, and how much of it is left."""

from flask import Flask
from requests.adapters import BaseAdapter

from event_handlers import SUBSCRIPTIONS
from event_publishers import publish_stock
from favorite_routes import favorites
from internal_routes import internal
from models import db
from review_routes import reviews
from routes import products
from settings import Settings
from shopkit import background, events
from shopkit.http_client import ServiceClient
from shopkit.service import create_service, run
from shopkit.service_account import own_token
from stock import sweep
from stock_routes import stock

SWEEP_SECONDS = 30
PUBLISH_SECONDS = 1


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    apis = [products, reviews, favorites, stock, internal]
    app = create_service(__name__, "product-service", settings, apis=apis, db=db, adapter=adapter)
    background.every(app, SWEEP_SECONDS, sweep)
    background.every(app, PUBLISH_SECONDS, publish_stock)
    auth_service = ServiceClient("auth-service", settings.auth_service_url, adapter)
    token = own_token(auth_service, settings.service_client_id, settings.service_client_secret)
    events.init_app(
        app,
        settings.amqp_url,
        publish_to=[ServiceClient("cart-service", settings.cart_service_url, adapter, token)],
        subscriptions=SUBSCRIPTIONS,
    )
    return app


if __name__ == "__main__":
    run(create_app())
