"""What the writers of tickets have ordered, learned from the events about orders."""

from collections.abc import Sequence

import sqlalchemy as sa

from models import RecentOrder, db
from shopkit.database import insert_new
from shopkit.events import Event
from shopkit.schemas import minor_units

SHOWN = 5


def keep_order(event: Event) -> None:
    """Events may overtake each other: that an order was confirmed says nothing new about one we have heard of."""
    order = event.payload
    is_new = insert_new(
        RecentOrder,
        order_id=order["order_id"],
        user_id=order["user_id"],
        status=order["status"],
        total_amount=minor_units(order["total_amount"]),
        currency=order["currency"],
    )
    if not is_new and order["status"] != "confirmed":
        known = sa.update(RecentOrder).filter_by(order_id=order["order_id"])
        db.session.execute(known.values(status=order["status"]))


def recent_orders_of(user_id: int) -> Sequence[RecentOrder]:
    """Their last ones, the newest first."""
    newest_first = sa.select(RecentOrder).filter_by(user_id=user_id).order_by(RecentOrder.order_id.desc())
    return db.session.scalars(newest_first.limit(SHOWN)).all()
