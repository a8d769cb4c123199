"""The order service: turns a cart into an order, takes the payment, and sees the order through."""

from datetime import timedelta

from flask import Flask
from requests.adapters import BaseAdapter

import clients
import payments.models  # noqa: F401 - its tables are there whichever provider the shop has
from checkout.checkout import Checkout
from checkout.settlement import Settlement
from models import db
from orders.routes import orders
from payments.choice import choose_provider
from settings import Settings
from shopkit import background, events
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    others = clients.connect(settings, adapter)
    provider = choose_provider(settings, adapter)
    settlement = Settlement(others, provider, timedelta(seconds=settings.checkout_lease_seconds))
    apis = [orders(Checkout(others, provider, settlement), settlement, provider)]
    if settings.stripe_webhook_secret:
        from payments.webhook_routes import webhooks  # loads Stripe's library, which most shops do without

        apis.append(webhooks(settings.stripe_webhook_secret, on_payment_event=lambda key, kind: settlement.recover()))
    app = create_service(__name__, "order-service", settings, apis=apis, db=db, needs=others.needed, adapter=adapter)
    events.init_app(app, settings.amqp_url, publish_to=others.subscribers)
    background.every(app, settings.recovery_seconds, settlement.recover)
    app.extensions.update(seed_with=[provider], payment_provider=provider, settlement=settlement)
    return app


if __name__ == "__main__":
    run(create_app())
