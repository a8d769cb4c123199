"""The cart service: what each customer means to buy."""

from flask import Flask
from requests.adapters import BaseAdapter

from claim_routes import claiming
from clients import ProductClient
from event_handlers import SUBSCRIPTIONS
from models import db
from routes import cart
from settings import Settings
from shopkit import events
from shopkit.http_client import ServiceClient
from shopkit.service import create_service, run
from shopkit.service_account import own_token
from shopping import Shopping


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    auth_service = ServiceClient("auth-service", settings.auth_service_url, adapter)
    token = own_token(auth_service, settings.service_client_id, settings.service_client_secret)
    product_service = ServiceClient("product-service", settings.product_service_url, adapter)
    with_our_token = ServiceClient(product_service.name, settings.product_service_url, adapter, token)
    shopping = Shopping(ProductClient(product_service, with_our_token))
    apis = [cart(shopping), claiming]
    app = create_service(__name__, "cart-service", settings, apis=apis, db=db, needs=[product_service], adapter=adapter)
    events.init_app(app, settings.amqp_url, subscriptions=SUBSCRIPTIONS)
    return app


if __name__ == "__main__":
    run(create_app())
