"""What this service does about events: it keeps what writers of tickets have ordered, and ends sockets."""

from typing import Any

import sqlalchemy as sa

from models import RecentOrder, db
from shop_events import AccountChanged, OrderCancelled, OrderConfirmed, OrderDelivered, OrderEvent, SessionEnded
from shopkit.database import insert_new
from shopkit.events import Subscription
from standing import Standing


def keep_order(order: OrderEvent) -> None:
    """Events may overtake each other: that an order was confirmed says nothing new about one that we know."""
    is_new = insert_new(
        RecentOrder,
        order_id=order.order_id,
        user_id=order.user_id,
        status=order.status,
        total_amount=order.total_amount,
        currency=order.currency,
    )
    if not is_new and order.status != "confirmed":
        known = sa.update(RecentOrder).filter_by(order_id=order.order_id)
        db.session.execute(known.values(status=order.status))


def subscriptions(standing: Standing) -> list[Subscription[Any]]:
    return [
        Subscription("keep_order", keep_order, [OrderConfirmed, OrderCancelled, OrderDelivered]),
        Subscription("end_sockets_of_session", standing.end_session, [SessionEnded]),
        Subscription("end_sockets_of_account", standing.end_account, [AccountChanged]),
    ]
