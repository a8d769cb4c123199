"""Who works on an order: one at a time, on a lease that ends by itself if its holder dies."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from models import db
from orders.models import Order
from orders.states import OrderStatus, PaymentStatus
from shopkit.database import now
from shopkit.http_client import LONGEST_CALL
from shopkit.transactions import reading

# Whatever a step asks of other services, in the worst case: the time-outs of all its calls, one after the other.
LONGEST_STEP = timedelta(seconds=4 * LONGEST_CALL)


class LeaseLost(Exception):
    """Somebody else works on the order now: whoever had it must stop before doing anything more."""


def take_over(moment: datetime, lease_time: timedelta) -> Order | None:
    """Lease the oldest order that stopped half-way and nobody works on any more, if there is one. Commits.

    Of several who ask at once, one gets it.
    """
    half_way = sa.or_(
        Order.status == OrderStatus.PENDING,
        (Order.status == OrderStatus.CANCELLED) & (Order.payment_status == PaymentStatus.PAID),
    )
    # A lease that ends so late was taken before the clock was set back.
    is_over = sa.or_(Order.leased_until <= moment, Order.leased_until > moment + 2 * lease_time)
    oldest = sa.select(Order.id).where(half_way, is_over).order_by(Order.leased_until).limit(1)
    oldest = oldest.with_for_update(skip_locked=True)  # somebody else is at it
    order_id = _lease(moment + lease_time, Order.id == oldest.scalar_subquery(), half_way, is_over)
    order = None if order_id is None else db.session.get(Order, order_id, populate_existing=True)
    db.session.commit()
    return order


def keep_lease(order: Order, lease_time: timedelta) -> None:
    """Make sure before a step that the order is still ours, and for longer than the step can take. Commits.

    :raise LeaseLost: somebody else has taken it over.
    """
    is_ours = Order.id == order.id, Order.leased_until == order.leased_until
    moment = now()
    if LONGEST_STEP < order.leased_until - moment <= lease_time:  # and not from before the clock was set back
        with reading():
            found = db.session.scalar(sa.select(Order.id).where(*is_ours))
    else:
        found = _lease(moment + lease_time, *is_ours)
        db.session.commit()
    if found is None:
        raise LeaseLost(f"order {order.id} has been taken over")


def _lease(until: datetime, *conditions: sa.ColumnElement[bool]) -> int | None:
    leasing = sa.update(Order).where(*conditions).values(leased_until=until, updated_at=Order.updated_at)
    order_id: int | None = db.session.scalar(leasing.returning(Order.id))
    return order_id
