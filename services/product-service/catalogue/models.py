"""The table of the products."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Mapped, mapped_column

from models import db
from shopkit import retention
from shopkit.database import Created, UtcDateTime
from shopkit.errors import Invalid

NAME_LENGTH, DESCRIPTION_LENGTH, CATEGORY_LENGTH = 120, 2000, 50
LONGEST_FOLDING = 3  # characters that one may become when case is folded
MOST_IN_STOCK = 1_000_000

_NOT_PUBLISHED = sa.text("stock <> announced_stock")
_ON_SALE = sa.text("archived_at IS NULL")


def _index_of_those_on_sale(name: str, *columns: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=_ON_SALE, postgresql_where=_ON_SALE)


class Product(Created, db.Model):
    __tablename__ = "products"
    __table_args__ = (
        sa.CheckConstraint("on_hand >= 0", "on_hand_not_negative"),
        sa.CheckConstraint("reserved >= 0", "reserved_not_negative"),
        sa.CheckConstraint("reserved <= on_hand", "reserved_is_on_hand"),
        sa.CheckConstraint("old_price IS NULL OR old_price > price", "reduced"),
        sa.Index("ix_products_to_announce", "id", sqlite_where=_NOT_PUBLISHED, postgresql_where=_NOT_PUBLISHED),
        _index_of_those_on_sale("ix_products_on_sale", "id"),
        _index_of_those_on_sale("ix_products_by_category", "category", "id"),
        _index_of_those_on_sale("ix_products_by_price", "price", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(NAME_LENGTH))
    description: Mapped[str] = mapped_column(sa.String(DESCRIPTION_LENGTH))
    category: Mapped[str] = mapped_column(sa.String(CATEGORY_LENGTH))
    # name, description and category, folded to one case, as SQLite's LIKE ignores the case of ASCII letters only
    search_text: Mapped[str] = mapped_column(
        sa.String(LONGEST_FOLDING * (NAME_LENGTH + DESCRIPTION_LENGTH + CATEGORY_LENGTH) + 2)
    )
    image_url: Mapped[str] = mapped_column(sa.String(500))
    price: Mapped[int]
    old_price: Mapped[int | None]
    # both change with a stock movement, and never without one
    on_hand: Mapped[int] = mapped_column(default=0)
    reserved: Mapped[int] = mapped_column(default=0)
    # what can be bought
    stock: Mapped[int] = mapped_column(sa.Computed("on_hand - reserved", persisted=True))
    # the stock as it was last published
    announced_stock: Mapped[int] = mapped_column(default=0)
    review_count: Mapped[int] = mapped_column(default=0)
    rating_sum: Mapped[int] = mapped_column(default=0)
    # the average in tenths, rounded as it is shown, so that lists are filtered and sorted by what people see
    rating: Mapped[int | None] = mapped_column(
        sa.Computed("(20 * rating_sum + review_count) / NULLIF(2 * review_count, 0)", persisted=True)
    )
    # since when it is no longer sold; orders and reviews still refer to it
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_sold(self) -> bool:
        return self.archived_at is None

    def change(self, **fields: Any) -> None:
        """Set the fields that are given.

        :raise Invalid: the old price would not be above the price.
        """
        for name, value in fields.items():
            setattr(self, name, value)
        if self.old_price is not None and self.old_price <= self.price:
            raise Invalid.field("old_price", "must be above the price")


retention.stays("the catalogue is the administrators'; orders and reviews speak of what is no longer sold", Product)


@event.listens_for(Product, "before_insert")
@event.listens_for(Product, "before_update")
def _keep_search_text(_: object, __: object, product: Product) -> None:
    product.search_text = "\n".join((product.name, product.description, product.category)).casefold()
