"""Moving an order from one state to the next: if its table allows it, if nobody else was faster, and noted."""

from enum import StrEnum

import sqlalchemy as sa

from models import db
from orders.models import Order, OrderEvent
from orders.states import NEXT_PAYMENT_STATUSES, NEXT_STATUSES, STAFF_ACTIONS, OrderStatus, PaymentStatus
from shopkit.database import now
from shopkit.errors import Conflict


def move(order: Order, status: OrderStatus, actor: str, reason: str) -> None:
    """Change the status; not yet committed.

    :raise Conflict: the table does not allow it, or somebody else was faster.
    """
    if status not in NEXT_STATUSES[order.status]:
        raise wrong_status(order, status)
    _compare_and_set(order, "status", status, actor, reason)


def move_by_staff(order: Order, status: OrderStatus, actor: str) -> bool:
    """Move an order to where one of the staff's actions leads, and say whether that was a change; not yet committed.

    :raise Conflict: no action leads there now, or somebody else was faster.
    """
    reached = {STAFF_ACTIONS[name] for name in order.possible(STAFF_ACTIONS)}
    if order.status == status and status in STAFF_ACTIONS.values():
        return False
    if status not in reached:
        raise wrong_status(order, status)
    move(order, status, actor, "moved on by staff")
    return True


def move_payment(order: Order, status: PaymentStatus, actor: str, reason: str) -> None:
    """Change the payment status; not yet committed.

    :raise Conflict: the table does not allow it, or somebody else was faster.
    """
    if status not in NEXT_PAYMENT_STATUSES[order.payment_status]:
        raise Conflict(f"A payment that is {order.payment_status} cannot become {status}.", code="wrong_status")
    _compare_and_set(order, "payment_status", status, actor, reason)


def wrong_status(order: Order, status: OrderStatus) -> Conflict:
    return Conflict(f"A {order.status} order cannot become {status}.", code="wrong_status", status_now=order.status)


def _compare_and_set(order: Order, axis: str, after: StrEnum, actor: str, reason: str) -> None:
    column, before = getattr(Order, axis), getattr(order, axis)
    changed = db.session.scalar(
        sa.update(Order)
        .where(Order.id == order.id, column == before)
        .values({axis: after, "updated_at": now()})
        .returning(Order.id)
    )
    if changed is None:
        raise Conflict("The order has changed in the meantime; look at it again.", code="changed_meanwhile")
    order.history.append(OrderEvent(actor=actor, axis=axis, before=before, after=after, reason=reason))
