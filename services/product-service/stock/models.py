"""The tables of the reservations and of the stock movements."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from catalogue.models import Product
from models import db
from shopkit import retention
from shopkit.database import Created, UtcDateTime

REASON_LENGTH = 200


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
    actor: Mapped[str] = mapped_column(sa.String(50))  # as they were called then


# The movements of a released reservation add up to nothing, so the others still add up to the stock once they are gone.
# Those of what was sold, or taken back, are kept like its order.
retention.stays("they are the stock's books; only those of a released reservation go with it", StockMovement)
retention.goes(
    Reservation.released_at,
    "keep_handled_days",
    along=[ReservationItem.reservation_id, StockMovement.reservation_id],
    at_once=50,  # an order may have a hundred products, and each two movements
)
