"""The tables of the reviews and of what was bought."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models import db
from shopkit import retention
from shopkit.database import Created, UtcDateTime

COMMENT_LENGTH = 2000


class Purchase(db.Model):
    """Who bought what, as the events about orders say."""

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


retention.stays("who has bought something may say so in a review, however late", Purchase)
retention.stays("a person has one of a product", Review)
