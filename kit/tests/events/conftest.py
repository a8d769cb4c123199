"""Two services as small as can be, by the names of real ones: one that tells of orders, one that hears of people."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shop_events import OrderCancelled, OrderItem, UserRegistered
from shopkit import events
from shopkit.database import new_database
from shopkit.events import Subscription
from shopkit.events.types import subscribers_of
from shopkit.http_client import ServiceClient
from shopkit.service import create_service
from shopkit.settings import KEEP_EVENTS, KEEP_HANDLED, Days, ServiceSettings

teller_db, hearer_db = new_database(), new_database()
events.keep_outbox(teller_db)
events.keep_inbox(hearer_db)


@dataclass(frozen=True, kw_only=True)
class SettingsOfEvents(ServiceSettings):
    keep_events_days: Days = KEEP_EVENTS
    keep_handled_days: Days = KEEP_HANDLED


class Fact(teller_db.Model):
    __tablename__ = "facts"

    id: Mapped[int] = mapped_column(primary_key=True)


class Effect(hearer_db.Model):
    __tablename__ = "effects"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self):
        self.moment = datetime.now(UTC) + timedelta(seconds=1)

    def __call__(self):
        return self.moment

    def go_on(self, **time):
        self.moment += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def settings(database_uri):
    return SettingsOfEvents(secret_key="a secret", database_uri=database_uri)


@pytest.fixture
def partners(network):
    """Who hears of orders, on ports that tell them apart."""
    return [
        ServiceClient(name, f"http://{name}:{port}", network, lambda refused=None: "our token")
        for port, name in enumerate(sorted(subscribers_of("order-service")), 5901)
    ]


@pytest.fixture
def teller(settings, network, partners):
    """An order service that has nothing but facts and its outbox, with its context open."""
    app = create_service(__name__, "order-service", settings, apis=[], db=teller_db, adapter=network)
    events.init_app(app, "", publish_to=partners)
    with app.app_context():
        teller_db.create_all()
        yield app
        teller_db.session.rollback()
        teller_db.engine.dispose()


@pytest.fixture
def hearer(settings, network):
    """A profile service that has nothing but effects and its inbox."""
    app = create_service(__name__, "profile-service", settings, apis=[], db=hearer_db, adapter=network)
    events.init_app(app, "", subscriptions=[Subscription("has_an_effect", have_an_effect, [UserRegistered])])
    with app.app_context():
        hearer_db.create_all()
    yield app
    with app.app_context():
        hearer_db.engine.dispose()


def have_an_effect(user):
    """Refuses the user 13, after it has begun."""
    hearer_db.session.add(Effect(user_id=user.user_id))
    hearer_db.session.flush()
    if user.user_id == 13:
        raise ZeroDivisionError("a bug")


@pytest.fixture
def effects(hearer):
    """Whom the hearer has heard of."""

    def effects():
        with hearer.app_context():
            return sorted(hearer_db.session.scalars(sa.select(Effect.user_id)))

    return effects


@pytest.fixture
def publish(teller):
    """Tell of an order, together with a fact."""

    def publish(order_id=7):
        teller_db.session.add(Fact())
        event = order_cancelled_with(order_id=order_id)
        events.publish(event)
        teller_db.session.commit()
        return str(event.id)

    return publish


@pytest.fixture
def rows():
    """What is in the outbox."""

    def rows(**conditions):
        outbox = teller_db.metadata.tables["outbox"]
        found = teller_db.session.execute(sa.select(outbox).filter_by(**conditions).order_by(outbox.c.target)).all()
        teller_db.session.rollback()
        return found

    return rows


ORDER = {
    "order_id": 7,
    "reference": "0d2c9a52-3a4e-4f0a-9a39-5a3f2a4f6f11",
    "user_id": 1,
    "status": "cancelled",
    "total_amount": 59.97,
    "currency": "USD",
    "items": [{"product_id": 3, "quantity": 3, "price": 19.99}],
}


@pytest.fixture
def order():
    return dict(ORDER)


@pytest.fixture
def order_cancelled():
    return order_cancelled_with


def order_cancelled_with(**changes):
    """An event as a publisher makes it, whose payload is ORDER."""
    lamps = OrderItem(product_id=3, quantity=3, price=1999)
    return OrderCancelled(**{**ORDER, "total_amount": 5997, "items": (lamps,), **changes})


@pytest.fixture
def event():
    """That somebody has registered, as it travels."""

    def event(user_id=5, event_id="7c0ac1de-0f43-4a4e-8a30-4e5f0f6f9a01", name="user.registered", **changes):
        payload = {"user_id": user_id, "username": "carol", **changes}
        return {"id": event_id, "name": name, "occurred_at": "2026-03-01T12:00:00Z", "payload": payload}

    return event
