"""Orders, what was bought with them, and what has changed of them."""

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models import db
from orders.states import NEXT_STATUSES, OrderStatus, PaymentStatus
from shopkit import retention
from shopkit.database import Created, UtcDateTime, now

# In the very words of the index: SQLite uses it only for these.
FAILED_OR_CANCELLED = sa.text("status IN ('failed', 'cancelled')")


class Order(Created, db.Model):
    """`reference` is what the other services and the payment provider know it by: claim, reservation and payment."""

    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "idempotency_key"),
        sa.Index(None, "user_id", "id"),
        sa.Index(
            "ix_orders_for_nothing",
            "user_id",
            "created_at",
            sqlite_where=FAILED_OR_CANCELLED,
            postgresql_where=FAILED_OR_CANCELLED,
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

    def possible(self, actions: dict[str, OrderStatus]) -> list[str]:
        """Those of the actions that can be done now: nothing moves that is not paid."""
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


retention.stays("they are the books", Order, OrderItem, OrderEvent)
