"""Pages of orders: those with very many items are put together one at a time, ordinary ones at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import lazyload
from sqlalchemy.orm.attributes import set_committed_value

from models import db
from orders.models import Order, OrderItem
from shopkit.paging import Page
from shopkit.slots import Slots
from shopkit.transactions import end_reading

ORDINARY = 300  # items, which take 10 ms
# Who waits holds one of the service's threads, of which checkouts may have all but eight.
slots = Slots(1, places=4)

without_items = lazyload(Order.items)


def turn_for(orders: sa.Select[Any], page: Page) -> AbstractContextManager[None]:
    """The context in which to put a page together: one's own turn, if it is long."""
    shown = orders.with_only_columns(Order.id).limit(page.per_page).offset((page.page - 1) * page.per_page)
    number = db.session.scalar(sa.select(sa.func.count()).where(OrderItem.order_id.in_(shown))) or 0
    end_reading()  # who waits holds no connection
    return slots if number > ORDINARY else nullcontext()


@contextmanager
def with_items(orders: Sequence[Order]) -> Iterator[None]:
    """Give orders that were read `without_items` theirs."""
    items = sa.select(OrderItem).where(OrderItem.order_id.in_([order.id for order in orders])).order_by(OrderItem.id)
    _attach(orders, db.session.scalars(items).all())
    yield


def _attach(orders: Sequence[Order], items: Sequence[OrderItem]) -> None:
    of_order = defaultdict(list)
    for item in items:
        of_order[item.order_id].append(item)
    for order in orders:
        set_committed_value(order, "items", of_order[order.id])
