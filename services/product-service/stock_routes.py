from collections import Counter
from datetime import timedelta

from flask_openapi3 import APIBlueprint, Tag

from models import db
from schemas import NewReservation, ReservationOut, ReservationPath
from shopkit.service import Answer
from stock import COMMITTED, RELEASED, RESTOCKED, fetch, move, reserve

stock = APIBlueprint("stock", __name__, url_prefix="/internal/reservations", abp_tags=[Tag(name="stock")])


@stock.post("", responses={200: ReservationOut, 201: ReservationOut})
def reserve_stock(body: NewReservation) -> Answer:
    """Reserve all of it or nothing; the same id again answers the same (200), whatever became of it."""
    wanted: Counter[int] = Counter()
    for item in body.items:
        wanted[item.product_id] += item.quantity
    reservation, is_new = reserve(str(body.reservation_id), wanted, timedelta(seconds=body.expires_in))
    # Read before the commit: afterwards it would be another transaction, in the queue of all who write.
    answer = ReservationOut.model_validate(reservation)
    db.session.commit()
    return answer, 201 if is_new else 200


@stock.get("/<uuid:reservation_id>", responses={200: ReservationOut})
def show_reservation(path: ReservationPath) -> Answer:
    """Show a reservation."""
    return ReservationOut.model_validate(fetch(str(path.reservation_id)))


@stock.post("/<uuid:reservation_id>/commit", responses={200: ReservationOut})
def commit_reservation(path: ReservationPath) -> Answer:
    """Sell what was held: it leaves the stock."""
    return _moved(path, COMMITTED)


@stock.post("/<uuid:reservation_id>/release", responses={200: ReservationOut})
def release_reservation(path: ReservationPath) -> Answer:
    """Give back what was held."""
    return _moved(path, RELEASED)


@stock.post("/<uuid:reservation_id>/restock", responses={200: ReservationOut})
def restock_reservation(path: ReservationPath) -> Answer:
    """Take back what was sold."""
    return _moved(path, RESTOCKED)


def _moved(path: ReservationPath, to: str) -> Answer:
    answer = ReservationOut.model_validate(move(str(path.reservation_id), to))
    db.session.commit()
    return answer
