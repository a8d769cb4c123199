"""Counting again: whether the columns, the movements and the reservations say the same of the stock."""

import sqlalchemy as sa

from catalogue.models import Product
from models import db
from stock.models import Reservation, ReservationItem, StockMovement
from stock.reservations import HELD
from stock.schemas import WrongProduct


def wrong_products() -> list[WrongProduct]:
    """Products whose columns are not the sums of their movements, or not what is held; all as of one moment."""
    moved, held = _sums_of_movements(), _sums_of_what_is_held()
    moved_on_hand, moved_reserved, quantity_held = (
        sa.func.coalesce(column, 0) for column in (moved.c.on_hand, moved.c.reserved, held.c.quantity)
    )
    is_wrong = sa.or_(
        Product.on_hand != moved_on_hand, Product.reserved != moved_reserved, Product.reserved != quantity_held
    )
    compared = (
        sa.select(
            Product.id.label("product_id"),
            Product.on_hand,
            Product.reserved,
            moved_on_hand.label("moved_on_hand"),
            moved_reserved.label("moved_reserved"),
            quantity_held.label("held"),
        )
        .outerjoin(moved, moved.c.product_id == Product.id)
        .outerjoin(held, held.c.product_id == Product.id)
        .where(is_wrong)
        .order_by(Product.id)
    )
    return [WrongProduct.model_validate(row) for row in db.session.execute(compared)]


def _sums_of_movements() -> sa.Subquery:
    return (
        sa.select(
            StockMovement.product_id,
            sa.func.sum(StockMovement.on_hand_change).label("on_hand"),
            sa.func.sum(StockMovement.reserved_change).label("reserved"),
        )
        .group_by(StockMovement.product_id)
        .subquery()
    )


def _sums_of_what_is_held() -> sa.Subquery:
    return (
        sa.select(ReservationItem.product_id, sa.func.sum(ReservationItem.quantity).label("quantity"))
        .join(Reservation)
        .where(Reservation.status == HELD)
        .group_by(ReservationItem.product_id)
        .subquery()
    )


def reservations_by_status() -> dict[str, int]:
    counted = sa.select(Reservation.status, sa.func.count()).group_by(Reservation.status)
    return dict(db.session.execute(counted).all())
