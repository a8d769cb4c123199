"""The product service: what can be bought, what customers think of it, and how much of it is left."""

from flask import Flask
from requests.adapters import BaseAdapter

from favorite_routes import favorites
from models import db
from review_routes import reviews
from routes import products
from settings import Settings
from shopkit.service import create_service, run
from stock_routes import stock


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    apis = [products, reviews, favorites, stock]
    return create_service(__name__, "product-service", settings, apis=apis, db=db, adapter=adapter)


app = create_app()

if __name__ == "__main__":
    run(app)
