"""The stock and its ledger; what is held for orders is reserved all or nothing, then sold (committed) or given back.

    held ──► committed ──► restocked
      └────► released

Whoever changes several products does so in the order of their ids, so that no two wait for each other. Nothing here
commits, so that what belongs together stands or falls together; the sweep alone does, being nobody's request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from models import Product, Reservation, ReservationItem, StockMovement, db
from schemas import MOST_IN_STOCK
from shopkit import retention
from shopkit.auth import SERVICE, User
from shopkit.database import now
from shopkit.errors import Conflict, Invalid, NotFound

ADJUST, RESERVE, COMMIT, RELEASE, RESTOCK = "adjust", "reserve", "commit", "release", "restock"
HELD, COMMITTED, RELEASED, RESTOCKED = "held", "committed", "released", "restocked"
EXPIRED_AT_ONCE = 100
OURSELVES = User(id=0, username="product-service", email="", role=SERVICE)

Wanted = Mapping[int, int]
"""How many of which product."""

_on_hand, _reserved = Product.on_hand + sa.bindparam("more_on_hand"), Product.reserved + sa.bindparam("more_reserved")
# Check and change are one statement: the last one is sold once. What it returns is the product as it is then; to find
# that out for every product that was read before, as SQLAlchemy would, takes long for many.
_BOOKING = (
    sa.update(Product)
    .where(Product.id == sa.bindparam("product"), _on_hand >= _reserved)
    .values(on_hand=_on_hand, reserved=_reserved)
    .returning(Product)
    .execution_options(populate_existing=True, synchronize_session=False)
)


@dataclass(frozen=True)
class Move:
    """What the ledger calls it, where a reservation comes from, and what each unit adds to its product's columns."""

    kind: str
    came_from: str
    on_hand: int
    reserved: int


# What came to nothing leaves no trace: the movements of a released reservation add up to nothing, so that without them
# the ledger still adds up to the stock. What was sold, or taken back, is kept like its order.
retention.stays("they are the stock's books; only those of a released reservation go with it", StockMovement)
retention.goes(
    Reservation.released_at,
    "keep_handled_days",
    along=[ReservationItem.reservation_id, StockMovement.reservation_id],
    at_once=50,  # an order may have a hundred products, and each two movements
)

MOVES = {
    COMMITTED: Move(COMMIT, HELD, on_hand=-1, reserved=-1),
    RELEASED: Move(RELEASE, HELD, on_hand=0, reserved=-1),
    RESTOCKED: Move(RESTOCK, COMMITTED, on_hand=+1, reserved=0),
}


def new_product(by: User, *, stock: int, **fields: Any) -> Product:
    """:raise Invalid: the old price would not be above the price."""
    product = Product()
    product.change(**fields)
    db.session.add(product)
    db.session.flush()
    _book(by, ADJUST, product.id, on_hand=stock, reason="opening stock")
    return product


def set_stock(product: Product, stock: int, by: User) -> None:
    """Let so many of a locked product be there to buy, whatever is reserved at that moment."""
    if stock != product.stock:
        _book(by, ADJUST, product.id, on_hand=stock - product.stock, reason="set by admin")


def change_stock(product: Product, change: int, reason: str, by: User) -> None:
    """Put some of a locked product on the shelf, or take some away.

    :raise Conflict: so many are not there to be taken away.
    :raise Invalid: the shelf is full.
    """
    if product.stock + change < 0:
        raise Conflict(
            f"You want to take away {-change} of {product.name}, and {product.stock} are available.",
            code="out_of_stock",
            available=product.stock,
        )
    if product.stock + change > MOST_IN_STOCK:
        raise Invalid.field("change", f"there may be at most {MOST_IN_STOCK} in stock")
    _book(by, ADJUST, product.id, on_hand=change, reason=reason)


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
            each: _book(by, RESERVE, each, on_sale, reserved=wanted[each], reservation_id=reservation_id)
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
    reservation = fetch(reservation_id, lock=True)  # so that none arrives between the claim and a look at it
    _move_on([reservation_id], to, by)
    if reservation.status != to:
        raise Conflict(f"The reservation is {reservation.status} and cannot be {to}.", code="wrong_state")
    return reservation


def release(reservation_id: str, by: User) -> Reservation:
    """Release a reservation; one that never arrived will find, if it still does, that it has ended.

    :raise Conflict: it was sold.
    """
    try:
        return move(reservation_id, RELEASED, by)
    except NotFound:
        moment = now()
        tombstone = Reservation(id=reservation_id, status=RELEASED, expires_at=moment, released_at=moment)
        return tombstone if _is_new(tombstone) else move(reservation_id, RELEASED, by)


def sweep() -> None:
    """Release all that has expired."""
    while release_expired(now()) == EXPIRED_AT_ONCE:
        pass


def release_expired(moment: datetime) -> int:
    """Release what has expired by then, the oldest first and a bounded number at once, commit, and say how many."""
    expired = (
        sa.select(Reservation.id)
        .where(Reservation.status == HELD, Reservation.expires_at <= moment)
        .order_by(Reservation.expires_at)
        .limit(EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)  # somebody else is at it
    )
    ids = list(db.session.scalars(expired))
    _move_on(ids, RELEASED, OURSELVES)
    db.session.commit()
    return len(ids)


def _book(
    by: User,
    kind: str,
    product_id: int,
    *conditions: sa.ColumnElement[bool],
    on_hand: int = 0,
    reserved: int = 0,
    reservation_id: str | None = None,
    reason: str | None = None,
) -> Product | None:
    """Change the stock and write down why, unless less than nothing would be left to buy.

    This alone changes the stock, so the movements of a product always add up to it.
    """
    changes = {"product": product_id, "more_on_hand": on_hand, "more_reserved": reserved}
    product: Product | None = db.session.scalar(_BOOKING.where(*conditions), changes)
    if product is not None:
        movement = StockMovement(
            product_id=product_id,
            kind=kind,
            on_hand_change=on_hand,
            reserved_change=reserved,
            reservation_id=reservation_id,
            reason=reason,
            actor_id=by.id,
            actor=by.username,
        )
        db.session.add(movement)
    return product


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
    """Change the status of those that may move there, in one statement, and the stock of just those."""
    move = MOVES[to]
    claiming = (
        sa.update(Reservation)
        .where(Reservation.id.in_(ids), Reservation.status == move.came_from)
        .values(status=to, released_at=now() if to == RELEASED else None)
        .returning(Reservation.id)
    )
    claimed = list(db.session.scalars(claiming))
    items = (
        sa.select(ReservationItem.reservation_id, ReservationItem.product_id, ReservationItem.quantity)
        .where(ReservationItem.reservation_id.in_(claimed))
        .order_by(ReservationItem.product_id, ReservationItem.reservation_id)
    )
    found = db.session.execute(items).all()
    with db.session.no_autoflush:  # all movements are written together
        for item in found:
            _book(
                by,
                move.kind,
                item.product_id,
                on_hand=move.on_hand * item.quantity,
                reserved=move.reserved * item.quantity,
                reservation_id=item.reservation_id,
            )
