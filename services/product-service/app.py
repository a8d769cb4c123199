"""The product service: what can be bought, what customers think of it, and how much of it is left."""

from flask import Flask
from requests.adapters import BaseAdapter

from catalogue.internal_routes import internal
from catalogue.routes import product_routes
from event_handlers import SUBSCRIPTIONS
from favorites.routes import favorites
from models import db
from reviews.routes import reviews
from settings import Settings
from shopkit import background, events
from shopkit.http_client import ServiceClient
from shopkit.service import create_service, run
from shopkit.service_account import own_token
from shopkit.slots import Slots
from stock.ledger import set_stock
from stock.publisher import publish_stock
from stock.reservations import sweep
from stock.routes import stock_routes

SWEEP_SECONDS = 30
PUBLISH_SECONDS = 1
# Searches that no index answers: so many run at once, and so many more wait. THREADS must be well above the sum, so
# that ordinary pages never wait for them.
SEARCHES_AT_ONCE, WAITING_SEARCHES = 2, 20


def create_app(
    settings: Settings | None = None, adapter: BaseAdapter | None = None, searching: Slots | None = None
) -> Flask:
    settings = settings or Settings.from_env()
    searching = searching or Slots(SEARCHES_AT_ONCE, WAITING_SEARCHES)
    apis = [product_routes(searching, set_stock), reviews, favorites, stock_routes(searching), internal]
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
