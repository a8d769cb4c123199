"""Pages of orders: those with very many items are put together one at a time, ordinary ones at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.orm import lazyload
from sqlalchemy.orm.attributes import set_committed_value

from models import db
from orders.models import Order, OrderItem
from shopkit.slots import Slots

ORDINARY = 1000  # items, which take 30 ms
# Who waits holds one of the service's threads, of which checkouts may have all but eight.
slots = Slots(1, places=2)

without_items = lazyload(Order.items)


@contextmanager
def with_items(orders: Sequence[Order]) -> Iterator[None]:
    """Give orders that were read `without_items` theirs; what is done with them in here has a slot if they are many.

    :raise Busy: too many people look at long pages at this moment.
    """
    items = sa.select(OrderItem).where(OrderItem.order_id.in_([order.id for order in orders])).order_by(OrderItem.id)
    found = db.session.scalars(items.limit(ORDINARY + 1)).all()
    if len(found) <= ORDINARY:
        _attach(orders, found)
        yield
        return
    with slots:
        _attach(orders, db.session.scalars(items).all())
        yield


def _attach(orders: Sequence[Order], items: Sequence[OrderItem]) -> None:
    of_order = defaultdict(list)
    for item in items:
        of_order[item.order_id].append(item)
    for order in orders:
        set_committed_value(order, "items", of_order[order.id])
