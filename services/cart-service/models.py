"""Carts, what is in them, and what orders have claimed of it; what things cost is asked for, never kept."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shopkit import events, idempotency, retention
from shopkit.database import Created, UtcDateTime, insert_new, new_database, now
from shopkit.transactions import end_reading, writes

db = new_database()
events.keep_inbox(db)
idempotency.keep_keys(db)

_IS_FREE = sa.text("claim_reference IS NULL")


class Cart(db.Model):
    """A cart has an owner, or will have a token's hash for who has no account.

    Its version moves on with every change of what can be ordered.
    """

    __tablename__ = "carts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column(default=0)
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=now, onupdate=now, index=True)


class Claim(Created, db.Model):
    """The lines that an order is buying, under the order's reference.

    One that came to nothing before it arrived has no cart: it is there to refuse the claim, should it still come.
    """

    __tablename__ = "claims"

    reference: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    cart_id: Mapped[int | None] = mapped_column(sa.ForeignKey("carts.id"), index=True)
    order_id: Mapped[int | None]
    # empty as long as the order has neither been confirmed nor failed
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class CartItem(db.Model):
    """So many of a product. It is free, or claimed by an order; of both kinds a cart has one a product at most."""

    __tablename__ = "cart_items"
    __table_args__ = (
        sa.Index(
            "uq_cart_items_free", "cart_id", "product_id", unique=True, sqlite_where=_IS_FREE, postgresql_where=_IS_FREE
        ),
        sa.CheckConstraint("quantity BETWEEN 1 AND 99", "quantity"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    cart_id: Mapped[int] = mapped_column(sa.ForeignKey("carts.id"), index=True)
    product_id: Mapped[int] = mapped_column(index=True)
    quantity: Mapped[int]
    # what the buyer was shown when the quantity was last changed: to compare, not to charge
    seen_price: Mapped[int | None]
    # since when it is another, and since when there are none left, as far as we have been told
    price_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sold_out_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    claim_reference: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("claims.reference"), index=True)


retention.goes(
    Cart.changed_at,
    "keep_carts_days",
    only=[
        ~sa.exists().where(CartItem.cart_id == Cart.id),
        ~sa.exists().where(Claim.cart_id == Cart.id),
    ],
)
retention.goes(Claim.ended_at, "keep_handled_days")
retention.stays("a cart holds few products, and its owner takes them out or buys them", CartItem)


def cart_of(user_id: int) -> Cart:
    """A person's cart, which is made when it is first looked for."""
    cart: Cart | None = db.session.scalar(sa.select(Cart).filter_by(user_id=user_id))
    if cart is None:
        end_reading()
        cart = _opened(user_id)
    return cart


def locked_cart(user_id: int) -> Cart:
    """A person's cart, kept from everybody else's changes until the transaction ends."""
    theirs = _locking(sa.select(Cart).filter_by(user_id=user_id))
    cart: Cart | None = db.session.scalar(theirs)
    if cart is None:  # looked for first, as PostgreSQL spends an id on each row that it is asked to insert
        insert_new(Cart, user_id=user_id, version=0)
        cart = db.session.scalars(theirs).one()
    return cart


def lock_cart(cart_id: int) -> Cart | None:
    """A cart by its id, locked likewise; None if there is no such cart."""
    cart: Cart | None = db.session.scalars(_locking(sa.select(Cart).filter_by(id=cart_id))).one_or_none()
    return cart


def products_of(user_id: int) -> set[int]:
    """Which products are in a person's cart, claimed or not."""
    return set(db.session.scalars(sa.select(CartItem.product_id).join(Cart).where(Cart.user_id == user_id)))


def contents_of(cart: Cart) -> Sequence[sa.Row[Any]]:
    """What is in a cart, as values that outlive the transaction; what is claimed, with the order that claims it."""
    items = sa.select(CartItem.__table__, Claim.order_id).outerjoin(Claim)
    return db.session.execute(items.where(CartItem.cart_id == cart.id).order_by(CartItem.id)).all()


def free_items(cart: Cart) -> sa.ColumnElement[bool]:
    """The condition for what is in a cart and no order has claimed."""
    return sa.and_(CartItem.cart_id == cart.id, CartItem.claim_reference.is_(None))


def empty(cart: Cart) -> None:
    """Take everything out of a locked cart but what is claimed."""
    db.session.execute(sa.delete(CartItem).where(free_items(cart)))
    cart.version += 1


@writes
def _opened(user_id: int) -> Cart:
    cart = locked_cart(user_id)
    db.session.commit()
    return cart


def _locking(carts: sa.Select[Any]) -> sa.Select[Any]:
    return carts.with_for_update().execution_options(populate_existing=True)
