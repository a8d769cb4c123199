"""The order service: turns a cart into an order, takes the payment, and sees the order through."""

from datetime import timedelta

from flask import Flask
from requests.adapters import BaseAdapter

import clients
import payments
from checkout import Checkout
from models import db
from routes import orders
from settings import Settings
from settlement import Settlement
from shopkit import background, events
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    partners = clients.connect(settings, adapter)
    app = create_service(
        __name__, "order-service", settings, apis=[orders], db=db, needs=partners.services, adapter=adapter
    )
    events.init_app(app, settings.amqp_url, publish_to=partners.subscribers)
    provider = payments.connect(settings, adapter)
    app.extensions["payment_provider"] = provider
    settlement = Settlement(partners, provider, timedelta(seconds=settings.checkout_lease_seconds))
    app.extensions["checkout"] = Checkout(settlement)
    if settings.stripe_webhook_secret:
        from webhook_routes import webhooks  # loads Stripe's library, which most shops do without

        app.register_api(
            webhooks(settings.stripe_webhook_secret, on_payment_event=lambda key, kind: settlement.recover())
        )
    background.every(app, settings.recovery_seconds, settlement.recover)
    return app


if __name__ == "__main__":
    run(create_app())
