"""What Stripe has said long ago goes; orders and all that belongs to them stay."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from models import db
from orders.models import Order, OrderItem
from payments.models import StripeEvent
from shopkit import retention


def test_old_events_of_stripe_go_and_orders_stay(seeded):
    moment = datetime.now(UTC)
    with seeded.app_context():
        ages = {"evt_new": 89, "evt_old": 90}
        db.session.add_all(
            StripeEvent(id=name, type="charge.refunded", created_at=moment - timedelta(days))
            for name, days in ages.items()
        )
        db.session.commit()
        kinds = (Order, OrderItem)
        before = [db.session.scalar(sa.select(sa.func.count()).select_from(kind)) for kind in kinds]
        assert all(before)

        retention.sweep(lambda: moment, lambda _: None)
        assert db.session.scalars(sa.select(StripeEvent.id)).all() == ["evt_new"]

        retention.sweep(lambda: moment + timedelta(10_000), lambda _: None)
        assert [db.session.scalar(sa.select(sa.func.count()).select_from(kind)) for kind in kinds] == before
