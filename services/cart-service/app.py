"""The cart service: what each customer means to buy."""

from flask import Flask
from requests.adapters import BaseAdapter

from clients import ProductClient
from models import db
from news import note_price, note_stock
from routes import cart
from settings import Settings
from shopkit import events
from shopkit.http_client import ServiceClient
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    product_service = ServiceClient("product-service", settings.product_service_url, adapter)
    app = create_service(
        __name__, "cart-service", settings, apis=[cart], db=db, needs=[product_service], adapter=adapter
    )
    app.extensions["products"] = ProductClient(product_service)
    hear = {"product.price_changed": note_price, "product.stock_changed": note_stock}
    events.init_app(app, settings.amqp_url, hear=hear)
    return app


app = create_app()

if __name__ == "__main__":
    run(app)
