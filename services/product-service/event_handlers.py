"""What events about orders say: who bought what."""

import sqlalchemy as sa

from models import db
from reviews.models import Purchase
from shop_events import OrderCancelled, OrderConfirmed, OrderDelivered, OrderEvent
from shopkit.database import insert_new
from shopkit.events import Subscription


def keep_purchase(order: OrderEvent) -> None:
    """Note what an order bought, and what became of it.

    Events may overtake each other: of an order that is known already, a confirmation says nothing new.
    """
    for product_id in sorted({item.product_id for item in order.items}):
        key = {"order_id": order.order_id, "product_id": product_id}
        is_new = insert_new(Purchase, **key, user_id=order.user_id, status=order.status)
        if not is_new and order.status != "confirmed":
            db.session.execute(sa.update(Purchase).filter_by(**key).values(status=order.status))


SUBSCRIPTIONS = [Subscription("keep_purchase", keep_purchase, [OrderConfirmed, OrderCancelled, OrderDelivered])]
