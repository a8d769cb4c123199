"""The profile service: who a customer is at home, where parcels go, and what they pay with."""

from flask import Flask
from requests.adapters import BaseAdapter

from address_routes import addresses
from event_handlers import SUBSCRIPTIONS
from models import db
from payment_routes import payment_methods
from profile_routes import profiles
from settings import Settings
from shopkit import events
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = create_service(
        __name__,
        "profile-service",
        settings,
        apis=[profiles, addresses, payment_methods(settings.payment_provider)],
        db=db,
        adapter=adapter,
    )
    events.init_app(app, settings.amqp_url, subscriptions=SUBSCRIPTIONS)
    return app


if __name__ == "__main__":
    run(create_app())
