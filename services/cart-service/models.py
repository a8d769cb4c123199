"""What customers have in their carts: products and quantities; what they cost is asked for, never kept."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shopkit import events, idempotency
from shopkit.database import UtcDateTime, new_database, one_at_a_time

db = new_database()
events.keep_inbox(db)
idempotency.keep_keys(db)


class CartItem(db.Model):
    __tablename__ = "cart_items"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "product_id"),
        sa.CheckConstraint("quantity BETWEEN 1 AND 99", "quantity"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    product_id: Mapped[int] = mapped_column(index=True)
    quantity: Mapped[int]
    # what the buyer was shown when the quantity was last changed: to compare, not to charge
    seen_price: Mapped[int | None]
    # since when it is another, and since when there are none left, as far as we have been told
    price_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sold_out_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def contents_of(user_id: int) -> Sequence[sa.Row[Any]]:
    """What is in a cart, as values that outlive the transaction."""
    mine = sa.select(CartItem.__table__).where(CartItem.user_id == user_id)
    return db.session.execute(mine.order_by(CartItem.id)).all()


def products_of(user_id: int) -> set[int]:
    return set(db.session.scalars(sa.select(CartItem.product_id).where(CartItem.user_id == user_id)))


def hold_cart(user_id: int) -> None:
    """Let nobody else change this cart until we commit."""
    one_at_a_time("cart", user_id)


def take_out(user_id: int, product_ids: Collection[int] | None = None) -> None:
    """Take these products out of a cart, or all of them; what is not in it need not be taken out."""
    hold_cart(user_id)
    taken = sa.delete(CartItem).where(CartItem.user_id == user_id)
    db.session.execute(taken if product_ids is None else taken.where(CartItem.product_id.in_(product_ids)))
