import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from checkout import the_checkout
from models import Order, OrderStatus, db, move
from notices import announce
from schemas import NewOrder, OrderOut, OrderPath, OrderQuery, Orders, StatusChange
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.errors import NotAllowed
from shopkit.idempotency import current_key, takes_key
from shopkit.paging import page_of
from shopkit.service import Answer

orders = APIBlueprint("orders", __name__, abp_tags=[Tag(name="orders")])


@orders.post("/orders", responses={201: OrderOut})
@takes_key
def check_out(body: NewOrder) -> Answer:
    """Buy what is in the cart; with an Idempotency-Key a repeated request buys once."""
    order = the_checkout().place_order(current_user(), body, current_key())
    return OrderOut.model_validate(order), 201


@orders.get("/orders", responses={200: Orders})
def index(query: OrderQuery) -> Answer:
    """List one's orders, newest first; staff sees everybody's."""
    found = sa.select(Order).order_by(Order.id.desc())
    if not current_user().is_staff:
        found = found.filter_by(user_id=current_user().id)
    if query.user_id is not None:
        found = found.filter_by(user_id=query.user_id)
    if query.status is not None:
        found = found.filter_by(status=query.status)
    return page_of(found, query, OrderOut)


@orders.get("/orders/<int:order_id>", responses={200: OrderOut})
def show(path: OrderPath) -> Answer:
    """Show an order."""
    return OrderOut.model_validate(_order(path.order_id))


@orders.put("/orders/<int:order_id>", responses={200: OrderOut})
def change_status(path: OrderPath, body: StatusChange) -> Answer:
    """Move an order on; a customer may only cancel."""
    order = _order(path.order_id)
    if body.status == OrderStatus.CANCELLED:
        return _cancelled(order)
    if not current_user().is_staff:
        raise NotAllowed("You may only cancel your order.")
    move(order, body.status, current_user().username, "moved on by staff")
    if body.status == OrderStatus.DELIVERED:
        announce("order.delivered", order)
    db.session.commit()
    return OrderOut.model_validate(order)


@orders.delete("/orders/<int:order_id>/cancel", responses={200: OrderOut})
@takes_key
def cancel(path: OrderPath) -> Answer:
    """Cancel an order: the money is given back, and what was bought can be bought again."""
    return _cancelled(_order(path.order_id))


@orders.post("/orders/<int:order_id>/cancel", responses={200: OrderOut})
@takes_key
def cancel_by_post(path: OrderPath) -> Answer:
    """Cancel an order, for clients that cannot DELETE."""
    return _cancelled(_order(path.order_id))


def _order(order_id: int) -> Order:
    """An order that whoever asks may touch: one's own, any for staff."""
    whose = {} if current_user().is_staff else {"user_id": current_user().id}
    return fetch_or_404(Order, order_id, **whose)


def _cancelled(order: Order) -> OrderOut:
    the_checkout().cancel(order, current_user().username, "cancelled on request")
    return OrderOut.model_validate(order)
