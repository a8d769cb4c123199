"""The order service: turns a cart into an order, takes the payment, and sees the order through."""

from datetime import timedelta

from flask import Flask
from flask_openapi3 import APIBlueprint, Tag
from requests.adapters import BaseAdapter

import clients
import payments.models  # noqa: F401 - its tables are there whichever provider the shop has
from checkout.checkout import Checkout
from checkout.routes import add_check_out
from checkout.settlement import Settlement
from models import db
from orders.routes import add_cancelling, add_orders
from payments.choice import choose_provider
from payments.provider import PaymentProvider
from payments.routes import add_reconciliation
from settings import Settings
from shopkit import background, events
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    others = clients.connect(settings, adapter)
    provider = choose_provider(settings, adapter)
    settlement = Settlement(others, provider, timedelta(seconds=settings.checkout_lease_seconds))
    apis = [_orders(Checkout(others, provider, settlement), settlement, provider)]
    if settings.stripe_webhook_secret:
        from payments.webhook_routes import webhooks  # loads Stripe's library, which most shops do without

        apis.append(webhooks(settings.stripe_webhook_secret, on_payment_event=lambda key, kind: settlement.recover()))
    app = create_service(__name__, "order-service", settings, apis=apis, db=db, needs=others.needed, adapter=adapter)
    events.init_app(app, settings.amqp_url, publish_to=others.subscribers)
    background.every(app, settings.recovery_seconds, settlement.recover)
    # for the data of the demonstration, and for whoever looks at the app from outside: a shell, the tests
    app.extensions.update(seed_with=[provider], payment_provider=provider, settlement=settlement)
    return app


def _orders(checkout: Checkout, settlement: Settlement, provider: PaymentProvider) -> APIBlueprint:
    """All that is asked for below `/orders`, in the order of the API document."""
    api = APIBlueprint("orders", __name__, abp_tags=[Tag(name="orders")])
    add_check_out(api, checkout)
    add_orders(api, settlement.cancel)
    add_reconciliation(api, provider)
    add_cancelling(api, settlement.cancel)
    return api


if __name__ == "__main__":
    run(create_app())
