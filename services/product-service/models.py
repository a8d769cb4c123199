"""Products, what customers say of them and which they like, and the stock that is held for orders."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from shopkit import events, idempotency, retention
from shopkit.database import Created, UtcDateTime, new_database, now
from shopkit.errors import Invalid, NotFound

CURRENCY = "USD"
NAME_LENGTH, DESCRIPTION_LENGTH, CATEGORY_LENGTH, COMMENT_LENGTH, REASON_LENGTH = 120, 2000, 50, 2000, 200
LONGEST_FOLDING = 3  # characters that one may become when case is folded

db = new_database(durable=True)
events.keep_outbox(db)
events.keep_inbox(db)
idempotency.keep_keys(db)


_TO_ANNOUNCE = sa.text("stock <> announced_stock")
_ON_SALE = sa.text("archived_at IS NULL")


def _of_what_is_sold(name: str, *columns: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=_ON_SALE, postgresql_where=_ON_SALE)


class Product(Created, db.Model):
    __tablename__ = "products"
    __table_args__ = (
        sa.CheckConstraint("on_hand >= 0", "on_hand_not_negative"),
        sa.CheckConstraint("reserved >= 0", "reserved_not_negative"),
        sa.CheckConstraint("reserved <= on_hand", "reserved_is_on_hand"),
        sa.CheckConstraint("old_price IS NULL OR old_price > price", "reduced"),
        sa.Index("ix_products_to_announce", "id", sqlite_where=_TO_ANNOUNCE, postgresql_where=_TO_ANNOUNCE),
        _of_what_is_sold("ix_products_on_sale", "id"),
        _of_what_is_sold("ix_products_by_category", "category", "id"),
        _of_what_is_sold("ix_products_by_price", "price", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH))
    description: Mapped[str] = mapped_column(sa.String(DESCRIPTION_LENGTH))
    category: Mapped[str] = mapped_column(sa.String(CATEGORY_LENGTH))
    # name, description and category without case: LIKE of SQLite knows the letters of ASCII only
    search_text: Mapped[str] = mapped_column(
        sa.String(LONGEST_FOLDING * (NAME_LENGTH + DESCRIPTION_LENGTH + CATEGORY_LENGTH) + 2)
    )
    image_url: Mapped[str] = mapped_column(sa.String(500))
    price: Mapped[int]
    old_price: Mapped[int | None]
    # both follow the stock movements, and nothing else writes them
    on_hand: Mapped[int] = mapped_column(default=0)
    reserved: Mapped[int] = mapped_column(default=0)
    # what can be bought
    stock: Mapped[int] = mapped_column(sa.Computed("on_hand - reserved", persisted=True))
    # what could be bought when others were last told of it
    announced_stock: Mapped[int] = mapped_column(default=0)
    review_count: Mapped[int] = mapped_column(default=0)
    rating_sum: Mapped[int] = mapped_column(default=0)
    # the average in tenths, rounded as it is shown, so that lists are filtered and sorted by what people see
    rating: Mapped[int | None] = mapped_column(
        sa.Computed("(20 * rating_sum + review_count) / NULLIF(2 * review_count, 0)", persisted=True)
    )
    # no longer sold; orders and reviews still speak of it
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_sold(self) -> bool:
        return self.archived_at is None

    def change(self, **fields: Any) -> None:
        """Take over the fields that are given.

        :raise Invalid: the old price would not be above the price.
        """
        for name, value in fields.items():
            setattr(self, name, value)
        if self.old_price is not None and self.old_price <= self.price:
            raise Invalid.field("old_price", "must be above the price")


class Purchase(db.Model):
    """Who bought what, as the order service tells it."""

    __tablename__ = "purchases"
    __table_args__ = (sa.Index(None, "user_id", "product_id"),)

    order_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(20))


class Review(Created, db.Model):
    __tablename__ = "reviews"
    __table_args__ = (sa.UniqueConstraint("product_id", "user_id"), sa.Index(None, "product_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"))
    user_id: Mapped[int] = mapped_column()
    username: Mapped[str] = mapped_column(sa.String(50))  # as it was when the review was written
    rating: Mapped[int]
    comment: Mapped[str] = mapped_column(sa.String(COMMENT_LENGTH))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    verified_purchase: Mapped[bool] = column_property(
        sa.exists()
        .where(Purchase.user_id == user_id, Purchase.product_id == product_id, Purchase.status != "cancelled")
        .correlate_except(Purchase)
    )


class Favorite(Created, db.Model):
    __tablename__ = "favorites"
    __table_args__ = (sa.UniqueConstraint("user_id", "product_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"))


class Reservation(Created, db.Model):
    """Stock that is held for an order, under an id that the order service chose."""

    __tablename__ = "reservations"
    __table_args__ = (sa.Index(None, "status", "expires_at"),)

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(20))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    items: Mapped[list["ReservationItem"]] = relationship(order_by="ReservationItem.product_id", lazy="selectin")


class ReservationItem(db.Model):
    __tablename__ = "reservation_items"

    reservation_id: Mapped[str] = mapped_column(sa.ForeignKey("reservations.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"), primary_key=True)
    quantity: Mapped[int]
    unit_price: Mapped[int]  # as it was when the stock was reserved
    product: Mapped[Product] = relationship(lazy="joined", innerjoin=True)

    @property
    def product_name(self) -> str:
        return self.product.name

    @property
    def product_image(self) -> str:
        return self.product.image_url


class StockMovement(Created, db.Model):
    """Why the stock of a product changed; all of a product's changes together are its stock."""

    __tablename__ = "stock_movements"
    __table_args__ = (sa.Index(None, "product_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"))
    kind: Mapped[str] = mapped_column(sa.String(20))
    on_hand_change: Mapped[int] = mapped_column(default=0)
    reserved_change: Mapped[int] = mapped_column(default=0)
    reservation_id: Mapped[str | None] = mapped_column(sa.ForeignKey("reservations.id"), index=True)
    reason: Mapped[str | None] = mapped_column(sa.String(REASON_LENGTH))
    actor_id: Mapped[int]  # 0 for a service
    actor: Mapped[str] = mapped_column(sa.String(50))  # as it was called then


retention.stays("the catalogue is the administrators'; orders and reviews speak of what is no longer sold", Product)
retention.stays("who has bought something may say so in a review, however late", Purchase)
retention.stays("a person has one of a product", Review)
retention.stays("a person has few of them, and removes them", Favorite)


@event.listens_for(Product, "before_insert")
@event.listens_for(Product, "before_update")
def _keep_search_text(_: object, __: object, product: Product) -> None:
    product.search_text = "\n".join((product.name, product.description, product.category)).casefold()


def locked_product(product_id: int) -> Product:
    """A product that is sold, kept from everybody else's changes until the transaction ends.

    :raise NotFound: there is none.
    """
    one = sa.select(Product).where(Product.id == product_id, Product.archived_at.is_(None)).with_for_update()
    product: Product | None = db.session.scalar(one)
    if product is None:
        raise NotFound(f"There is no product {product_id}.")
    return product


def put_review(product: Product, user_id: int, username: str, rating: int, comment: str) -> tuple[Review, bool]:
    """The user's only review of a locked product, and whether it is new; the product's rating follows."""
    moment = now()
    review = db.session.scalar(sa.select(Review).filter_by(product_id=product.id, user_id=user_id))
    is_new = review is None
    if review is None:
        review = Review(product_id=product.id, user_id=user_id, rating=0, created_at=moment)
        db.session.add(review)
        product.review_count += 1
    product.rating_sum += rating - review.rating
    review.username, review.rating, review.comment, review.updated_at = username, rating, comment, moment
    return review, is_new
