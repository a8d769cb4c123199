"""Stock held for orders: reserved all or nothing, then sold (committed) or given back.

    held ──► committed ──► restocked
      └────► released

Whoever changes several products does so in the order of their ids, so that no two wait for each other. Nothing here
commits, so that what belongs together stands or falls together; `release_expired` alone does, being nobody's request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from models import Product, Reservation, ReservationItem, db
from shopkit.database import now
from shopkit.errors import Conflict, NotFound

HELD, COMMITTED, RELEASED, RESTOCKED = "held", "committed", "released", "restocked"
EXPIRED_AT_ONCE = 100

Wanted = Mapping[int, int]
"""How many of which product."""


@dataclass(frozen=True)
class Move:
    """Where a reservation comes from, and what every unit of it adds to the columns of its product."""

    came_from: str
    on_hand: int
    reserved: int


MOVES = {
    COMMITTED: Move(HELD, on_hand=-1, reserved=-1),
    RELEASED: Move(HELD, on_hand=0, reserved=-1),
    RESTOCKED: Move(COMMITTED, on_hand=+1, reserved=0),
}


def reserve(reservation_id: str, wanted: Wanted, lifetime: timedelta) -> tuple[Reservation, bool]:
    """Hold what is wanted, and say whether the reservation is new: the same id again is the same reservation.

    :raise Conflict: something is out of stock, or the id stands for other items.
    """
    release_expired(now())
    reservation = Reservation(id=reservation_id, status=HELD, expires_at=now() + lifetime)
    db.session.add(reservation)
    try:
        db.session.flush()
    except IntegrityError:  # it is there already
        db.session.rollback()
        return _repeated(reservation_id, wanted), False
    held = {product_id: _hold(product_id, wanted[product_id]) for product_id in sorted(wanted)}
    _refuse_lacking({product_id: wanted[product_id] for product_id, product in held.items() if product is None})
    reservation.items = [
        ReservationItem(product=product, quantity=wanted[product.id], unit_price=product.price)
        for product in held.values()
        if product
    ]
    db.session.flush()
    return reservation, True


def fetch(reservation_id: str) -> Reservation:
    """:raise NotFound: there is none."""
    reservation = db.session.get(Reservation, reservation_id)
    if reservation is None:
        raise NotFound(f"There is no reservation {reservation_id}.")
    return reservation


def move(reservation_id: str, to: str) -> Reservation:
    """Move a reservation on, and the stock with it; one that is there already stays as it is.

    :raise NotFound: there is none.
    :raise Conflict: it cannot get there from where it is.
    """
    if _claim([reservation_id], to):
        _move_stock([reservation_id], MOVES[to])
    reservation = fetch(reservation_id)
    if reservation.status != to:
        raise Conflict(f"The reservation is {reservation.status} and cannot be {to}.", code="wrong_state")
    return reservation


def release_expired(moment: datetime) -> None:
    """Release what has expired by then, the oldest first and a bounded number at once, and commit."""
    expired = (
        sa.select(Reservation.id)
        .where(Reservation.status == HELD, Reservation.expires_at <= moment)
        .order_by(Reservation.expires_at)
        .limit(EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)  # somebody else is at it
    )
    ids = list(db.session.scalars(expired))
    if ids:
        _claim(ids, RELEASED)
        _move_stock(ids, MOVES[RELEASED])
        db.session.commit()


def _repeated(reservation_id: str, wanted: Wanted) -> Reservation:
    reservation = fetch(reservation_id)
    if {item.product_id: item.quantity for item in reservation.items} != wanted:
        raise Conflict("This reservation was made for other items.", code="reservation_differs")
    return reservation


def _hold(product_id: int, quantity: int) -> Product | None:
    """Check and hold in one statement: the last one is sold once."""
    holding = (
        sa.update(Product)
        .where(Product.id == product_id, Product.archived_at.is_(None), Product.on_hand - Product.reserved >= quantity)
        .values(reserved=Product.reserved + quantity)
    )
    return db.session.scalar(holding.returning(Product))


def _refuse_lacking(lacking: Wanted) -> None:
    if not lacking:
        return
    on_sale = sa.select(Product.id, Product.stock).where(Product.id.in_(lacking), Product.archived_at.is_(None))
    available = dict(db.session.execute(on_sale).all())
    raise Conflict(
        "There is not enough of everything in stock.",
        code="out_of_stock",
        items=[
            {"product_id": product_id, "wanted": quantity, "available": available.get(product_id, 0)}
            for product_id, quantity in lacking.items()
        ],
    )


def _claim(ids: list[str], to: str) -> bool:
    """Change the status of those that may move there, in one statement: of two who try, one succeeds."""
    claiming = (
        sa.update(Reservation)
        .where(Reservation.id.in_(ids), Reservation.status == MOVES[to].came_from)
        .values(status=to)
        .returning(Reservation.id)
    )
    return db.session.scalars(claiming).first() is not None


def _move_stock(ids: list[str], move: Move) -> None:
    units = (
        sa.select(ReservationItem.product_id, sa.func.sum(ReservationItem.quantity))
        .where(ReservationItem.reservation_id.in_(ids))
        .group_by(ReservationItem.product_id)
        .order_by(ReservationItem.product_id)
    )
    for product_id, quantity in db.session.execute(units).all():
        db.session.execute(
            sa.update(Product)
            .where(Product.id == product_id)
            .values(
                on_hand=Product.on_hand + move.on_hand * quantity,
                reserved=Product.reserved + move.reserved * quantity,
            )
        )
