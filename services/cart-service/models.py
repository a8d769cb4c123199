"""What customers have in their carts: products and quantities, never prices."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shopkit.database import new_database, one_at_a_time

db = new_database()


class CartItem(db.Model):
    __tablename__ = "cart_items"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "product_id"),
        sa.CheckConstraint("quantity BETWEEN 1 AND 99", "quantity"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    product_id: Mapped[int]
    quantity: Mapped[int]


def contents_of(user_id: int) -> Sequence[sa.Row[int, int, int]]:
    """The ids, product ids and quantities in a cart, as values that outlive the transaction."""
    mine = sa.select(CartItem.id, CartItem.product_id, CartItem.quantity).where(CartItem.user_id == user_id)
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
