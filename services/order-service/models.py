"""Orders, the states they go through, and who works on them."""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shopkit import events, retention
from shopkit.database import Created, UtcDateTime, new_database, now
from shopkit.errors import Conflict
from shopkit.http_client import LONGEST_CALL

db = new_database(durable=True)
events.keep_outbox(db)


# Whatever a step asks of others, in the worst case: the time-outs of all its calls, one after the other.
LONGEST_STEP = timedelta(seconds=4 * LONGEST_CALL)


class LeaseLost(Exception):
    """Somebody else works on the order now: whoever had it must stop before doing anything more."""


class OrderStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    NONE = "none"
    PAID = "paid"
    REFUNDED = "refunded"
    FAILED = "failed"


# Out of pending only the checkout leads, by what the payment provider answers; people move what is confirmed.
NEXT_STATUSES = {
    OrderStatus.PENDING: {OrderStatus.CONFIRMED, OrderStatus.FAILED},
    OrderStatus.CONFIRMED: {OrderStatus.PROCESSING, OrderStatus.CANCELLED},
    OrderStatus.PROCESSING: {OrderStatus.SHIPPED, OrderStatus.CANCELLED},
    OrderStatus.SHIPPED: {OrderStatus.DELIVERED},
    OrderStatus.DELIVERED: set(),
    OrderStatus.CANCELLED: set(),
    OrderStatus.FAILED: set(),
}
NEXT_PAYMENT_STATUSES = {
    PaymentStatus.NONE: {PaymentStatus.PAID, PaymentStatus.FAILED},
    PaymentStatus.PAID: {PaymentStatus.REFUNDED},
    PaymentStatus.REFUNDED: set(),
    PaymentStatus.FAILED: set(),
}
STAFF_ACTIONS = {
    "process": OrderStatus.PROCESSING,
    "ship": OrderStatus.SHIPPED,
    "deliver": OrderStatus.DELIVERED,
    "cancel": OrderStatus.CANCELLED,
}
CUSTOMER_ACTIONS = {"cancel": OrderStatus.CANCELLED}


# The condition for orders that nobody paid for in the end, in the very words of its index: SQLite finds it by these.
FOR_NOTHING = sa.text("status IN ('failed', 'cancelled')")


class Order(Created, db.Model):
    """`reference` is the id under which the other participants know it: reservation id and payment key."""

    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "idempotency_key"),
        sa.Index(None, "user_id", "id"),
        sa.Index(
            "ix_orders_for_nothing", "user_id", "created_at", sqlite_where=FOR_NOTHING, postgresql_where=FOR_NOTHING
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[uuid.UUID] = mapped_column(unique=True, default=uuid.uuid4)
    user_id: Mapped[int]
    status: Mapped[OrderStatus] = mapped_column(sa.String(20), default=OrderStatus.PENDING, index=True)
    payment_status: Mapped[PaymentStatus] = mapped_column(sa.String(20), default=PaymentStatus.NONE)
    currency: Mapped[str] = mapped_column(sa.String(3))
    shipping_address: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    payment_method_id: Mapped[int]
    payment_brand: Mapped[str] = mapped_column(sa.String(20))
    payment_last_four: Mapped[str] = mapped_column(sa.String(4))
    payment_reference: Mapped[str | None] = mapped_column(sa.String(100))
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    key_fingerprint: Mapped[str | None] = mapped_column(sa.String(64))
    # why it failed, as its buyer was told: status, code, detail and more
    problem: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    # until then whoever works on the order is left alone; afterwards the recovery takes it over
    leased_until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)

    items: Mapped[list["OrderItem"]] = relationship(
        order_by="OrderItem.id", lazy="selectin", cascade="all, delete-orphan"
    )
    history: Mapped[list["OrderEvent"]] = relationship(order_by="OrderEvent.id", lazy="selectin")

    @property
    def total_amount(self) -> int:
        return sum(item.subtotal for item in self.items)

    @property
    def payment(self) -> dict[str, Any]:
        return {
            "payment_method_id": self.payment_method_id,
            "brand": self.payment_brand,
            "last_four": self.payment_last_four,
            "reference": self.payment_reference,
        }

    def actions(self, actions: dict[str, OrderStatus]) -> list[str]:
        """Those of the actions that are possible now: nothing moves that is not paid."""
        if self.payment_status != PaymentStatus.PAID:
            return []
        return [name for name, status in actions.items() if status in NEXT_STATUSES[self.status]]


class OrderItem(db.Model):
    """What was bought, as it was called and what it cost then."""

    __tablename__ = "order_items"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"), index=True)
    product_id: Mapped[int]
    product_name: Mapped[str] = mapped_column(sa.String(200))
    product_image: Mapped[str | None] = mapped_column(sa.String(500))
    price: Mapped[int]
    quantity: Mapped[int]

    @property
    def subtotal(self) -> int:
        return self.price * self.quantity


class OrderEvent(Created, db.Model):
    """A change of an order: who, when, of what, from, to and why."""

    __tablename__ = "order_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"), index=True)
    actor: Mapped[str] = mapped_column(sa.String(60))
    axis: Mapped[str] = mapped_column(sa.String(20))
    before: Mapped[str] = mapped_column(sa.String(20))
    after: Mapped[str] = mapped_column(sa.String(20))
    reason: Mapped[str] = mapped_column(sa.String(200))


def move(order: Order, status: OrderStatus, actor: str, reason: str) -> None:
    """Change the status if the table allows it and nobody else was faster; not yet committed.

    :raise Conflict: it does not, or somebody was.
    """
    if status not in NEXT_STATUSES[order.status]:
        raise wrong_status(order, status)
    _compare_and_set(order, "status", status, actor, reason)


def move_by_staff(order: Order, status: OrderStatus, actor: str) -> bool:
    """Move an order to where one of the staff's actions leads, and say whether that was a change; not yet committed.

    :raise Conflict: no action leads there now, or somebody else was faster.
    """
    reached = {STAFF_ACTIONS[name] for name in order.actions(STAFF_ACTIONS)}
    if order.status == status and status in STAFF_ACTIONS.values():
        return False
    if status not in reached:
        raise wrong_status(order, status)
    move(order, status, actor, "moved on by staff")
    return True


def move_payment(order: Order, status: PaymentStatus, actor: str, reason: str) -> None:
    """Change the payment status likewise.

    :raise Conflict: the table does not allow it, or somebody else was faster.
    """
    if status not in NEXT_PAYMENT_STATUSES[order.payment_status]:
        raise Conflict(f"A payment that is {order.payment_status} cannot become {status}.", code="wrong_status")
    _compare_and_set(order, "payment_status", status, actor, reason)


def wrong_status(order: Order, status: OrderStatus) -> Conflict:
    return Conflict(f"A {order.status} order cannot become {status}.", code="wrong_status", status_now=order.status)


def take_over(moment: datetime, lifetime: timedelta) -> Order | None:
    """Lease the oldest order that stopped half-way and nobody works on any more, if there is one. Commits.

    Of several who ask at once, one gets it.
    """
    half_way = sa.or_(
        Order.status == OrderStatus.PENDING,
        (Order.status == OrderStatus.CANCELLED) & (Order.payment_status == PaymentStatus.PAID),
    )
    # A lease that ends so late was taken before the clock was set back.
    is_over = sa.or_(Order.leased_until <= moment, Order.leased_until > moment + 2 * lifetime)
    oldest = sa.select(Order.id).where(half_way, is_over).order_by(Order.leased_until).limit(1)
    oldest = oldest.with_for_update(skip_locked=True)  # somebody else is at it
    order_id = _lease(moment + lifetime, Order.id == oldest.scalar_subquery(), half_way, is_over)
    order = None if order_id is None else db.session.get(Order, order_id, populate_existing=True)
    db.session.commit()  # a rollback would forget what was read
    return order


def keep_lease(order: Order, lifetime: timedelta) -> None:
    """Make sure before a step that the order is still ours, and for longer than the step can take. Commits.

    :raise LeaseLost: somebody else has taken it over.
    """
    is_ours = Order.id == order.id, Order.leased_until == order.leased_until
    moment = now()
    if LONGEST_STEP < order.leased_until - moment <= lifetime:  # and not from before the clock was set back
        found = db.session.scalar(sa.select(Order.id).where(*is_ours))
    else:
        found = _lease(moment + lifetime, *is_ours)
    db.session.commit()
    if found is None:
        raise LeaseLost(f"order {order.id} has been taken over")


def _lease(until: datetime, *conditions: sa.ColumnElement[bool]) -> int | None:
    leasing = sa.update(Order).where(*conditions).values(leased_until=until, updated_at=Order.updated_at)
    order_id: int | None = db.session.scalar(leasing.returning(Order.id))
    return order_id


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


class StripePayment(Created, db.Model):
    """Which PaymentIntent a payment has at Stripe, if it has one already; a voided one will never have any."""

    __tablename__ = "stripe_payments"

    key: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    intent: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    voided: Mapped[bool] = mapped_column(default=False)


class StripeEvent(Created, db.Model):
    """An event of Stripe's that has been dealt with."""

    __tablename__ = "stripe_events"
    __table_args__ = (sa.Index(None, "created_at"),)

    id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(60))


retention.stays("they are the books", Order, OrderItem, OrderEvent, StripePayment)
retention.goes(StripeEvent.created_at, "keep_handled_days")
