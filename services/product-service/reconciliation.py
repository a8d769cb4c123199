"""Counting again: whether the columns, the ledger and the reservations tell the same of the stock."""

import sqlalchemy as sa

from models import Product, Reservation, ReservationItem, StockMovement, db
from schemas import WrongProduct
from stock import HELD


def wrong_products() -> list[WrongProduct]:
    """Products whose columns are not the sums of their movements, or not what is held; all as of one moment."""
    moved = (
        sa.select(
            StockMovement.product_id,
            sa.func.sum(StockMovement.on_hand_change).label("on_hand"),
            sa.func.sum(StockMovement.reserved_change).label("reserved"),
        )
        .group_by(StockMovement.product_id)
        .subquery()
    )
    held = (
        sa.select(ReservationItem.product_id, sa.func.sum(ReservationItem.quantity).label("quantity"))
        .join(Reservation)
        .where(Reservation.status == HELD)
        .group_by(ReservationItem.product_id)
        .subquery()
    )
    moved_on_hand, moved_reserved, quantity_held = (
        sa.func.coalesce(column, 0) for column in (moved.c.on_hand, moved.c.reserved, held.c.quantity)
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
        .where(
            sa.or_(
                Product.on_hand != moved_on_hand,
                Product.reserved != moved_reserved,
                Product.reserved != quantity_held,
            )
        )
        .order_by(Product.id)
    )
    return [WrongProduct.model_validate(row) for row in db.session.execute(compared)]


def reservations_by_status() -> dict[str, int]:
    counted = sa.select(Reservation.status, sa.func.count()).group_by(Reservation.status)
    return dict(db.session.execute(counted).all())
