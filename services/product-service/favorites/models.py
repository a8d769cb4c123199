"""The table of the favorites."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from models import db
from shopkit import retention
from shopkit.database import Created


class Favorite(Created, db.Model):
    __tablename__ = "favorites"
    __table_args__ = (sa.UniqueConstraint("user_id", "product_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("products.id"))


retention.stays("a person has few of them, and removes them", Favorite)
