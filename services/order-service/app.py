"""The order service: turns a cart into an order, takes the payment, and sees the order through."""

from flask import Flask
from requests.adapters import BaseAdapter

import clients
from models import db
from routes import orders
from settings import Settings
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    partners = clients.connect(settings, adapter)
    app = create_service(
        __name__, "order-service", settings, apis=[orders], db=db, needs=partners.services, adapter=adapter
    )
    app.extensions["partners"] = partners
    return app


app = create_app()

if __name__ == "__main__":
    run(app)
