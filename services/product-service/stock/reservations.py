"""Stock that is held for orders: reserved all or nothing, then sold (committed) or given back.

    held ──► committed ──► restocked
      └────► released

Whoever changes several products does so in the order of their ids, so that no two wait for each other. Nothing here
commits, so that what belongs together stands or falls together; only the sweep does, as no request will.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from catalogue.models import Product
from models import db
from shopkit.auth import User
from shopkit.database import now
from shopkit.errors import Conflict, NotFound
from stock.ledger import COMMIT, RELEASE, RESERVE, RESTOCK, THIS_SERVICE, book
from stock.models import Reservation, ReservationItem

HELD, COMMITTED, RELEASED, RESTOCKED = "held", "committed", "released", "restocked"
EXPIRED_AT_ONCE = 100

Wanted = Mapping[int, int]
"""Ids of products, and how many of each."""


@dataclass(frozen=True)
class Transition:
    """The kind of its movements, the status it begins at, and what each unit adds to the columns of its product."""

    kind: str
    begins_at: str
    on_hand: int
    reserved: int


TRANSITIONS = {
    COMMITTED: Transition(COMMIT, HELD, on_hand=-1, reserved=-1),
    RELEASED: Transition(RELEASE, HELD, on_hand=0, reserved=-1),
    RESTOCKED: Transition(RESTOCK, COMMITTED, on_hand=+1, reserved=0),
}


def reserve(reservation_id: str, wanted: Wanted, lifetime: timedelta, by: User) -> tuple[Reservation, bool]:
    """Hold what is wanted, and say whether the reservation is new: the same id again is the same reservation.

    :raise Conflict: something is out of stock, or the id stands for other items, or for stock that is held no more.
    """
    reservation = Reservation(id=reservation_id, status=HELD, expires_at=now() + lifetime)
    if not _is_new(reservation):
        return _repeated(reservation_id, wanted), False
    on_sale = Product.archived_at.is_(None)
    with db.session.no_autoflush:  # all movements are written together
        held = {
            each: book(by, RESERVE, each, on_sale, reserved=wanted[each], reservation_id=reservation_id)
            for each in sorted(wanted)
        }
    _refuse_lacking({product_id: wanted[product_id] for product_id, product in held.items() if product is None})
    reservation.items = [
        ReservationItem(product=product, quantity=wanted[product.id], unit_price=product.price)
        for product in held.values()
        if product
    ]
    db.session.flush()
    return reservation, True


def fetch(reservation_id: str, *, lock: bool = False) -> Reservation:
    """:raise NotFound: there is none."""
    reservation = db.session.get(Reservation, reservation_id, with_for_update=lock)
    if reservation is None:
        raise NotFound(f"There is no reservation {reservation_id}.")
    return reservation


def move(reservation_id: str, to: str, by: User) -> Reservation:
    """Move a reservation on, and the stock with it; one that is there already stays as it is.

    :raise NotFound: there is none.
    :raise Conflict: it cannot get there from where it is.
    """
    reservation = fetch(reservation_id, lock=True)  # so that nobody else moves it before we look at it
    _move_on([reservation_id], to, by)
    if reservation.status != to:
        raise Conflict(f"The reservation is {reservation.status} and cannot be {to}.", code="wrong_state")
    return reservation


def release(reservation_id: str, by: User) -> Reservation:
    """Release a reservation; an id that was never reserved is noted as released, so that it never can be.

    :raise Conflict: it was sold.
    """
    try:
        return move(reservation_id, RELEASED, by)
    except NotFound:
        moment = now()
        tombstone = Reservation(id=reservation_id, status=RELEASED, expires_at=moment, released_at=moment)
        return tombstone if _is_new(tombstone) else move(reservation_id, RELEASED, by)


def sweep() -> None:
    """Job: release all that has expired by now."""
    moment = now()
    while release_expired(moment) == EXPIRED_AT_ONCE:
        pass


def release_expired(moment: datetime) -> int:
    """Release what has expired by then, the oldest first and a bounded number at once, commit, and say how many."""
    expired = (
        sa.select(Reservation.id)
        .where(Reservation.status == HELD, Reservation.expires_at <= moment)
        .order_by(Reservation.expires_at)
        .limit(EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)  # another process releases those
    )
    ids = list(db.session.scalars(expired))
    _move_on(ids, RELEASED, THIS_SERVICE)
    db.session.commit()
    return len(ids)


def _is_new(reservation: Reservation) -> bool:
    """Insert a reservation before anything else is changed; of two with the same id, one succeeds."""
    db.session.add(reservation)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        return False
    return True


def _repeated(reservation_id: str, wanted: Wanted) -> Reservation:
    """The reservation of an earlier request with the same id.

    :raise Conflict: it was for other items, or holds nothing any more.
    """
    reservation = fetch(reservation_id)
    expired = reservation.status == HELD and reservation.expires_at <= now()
    if expired or reservation.status in (RELEASED, RESTOCKED):
        raise Conflict("This reservation has ended.", code="reservation_ended")
    if {item.product_id: item.quantity for item in reservation.items} != wanted:
        raise Conflict("This reservation was made for other items.", code="reservation_differs")
    return reservation


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


def _move_on(ids: list[str], to: str, by: User) -> None:
    """Change the status of those that may move there, and the stock of just those."""
    transition = TRANSITIONS[to]
    items = _items_of(_claimed(ids, transition.begins_at, to))
    with db.session.no_autoflush:  # all movements are written together
        for item in items:
            book(
                by,
                transition.kind,
                item.product_id,
                on_hand=transition.on_hand * item.quantity,
                reserved=transition.reserved * item.quantity,
                reservation_id=item.reservation_id,
            )


def _claimed(ids: list[str], begins_at: str, to: str) -> list[str]:
    """Those of the reservations that had the one status and have now got the other: in one statement, so once each."""
    claiming = (
        sa.update(Reservation)
        .where(Reservation.id.in_(ids), Reservation.status == begins_at)
        .values(status=to, released_at=now() if to == RELEASED else None)
        .returning(Reservation.id)
    )
    return list(db.session.scalars(claiming))


def _items_of(ids: list[str]) -> Sequence[sa.Row[str, int, int]]:
    items = (
        sa.select(ReservationItem.reservation_id, ReservationItem.product_id, ReservationItem.quantity)
        .where(ReservationItem.reservation_id.in_(ids))
        .order_by(ReservationItem.product_id, ReservationItem.reservation_id)
    )
    return db.session.execute(items).all()
