from datetime import timedelta

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

import reconciliation
from checkout import the_checkout
from event_publishers import publish
from long_pages import with_items, without_items
from models import Order, OrderStatus, db, move_by_staff
from schemas import (
    NewOrder,
    OrderOut,
    OrderPath,
    OrderQuery,
    Orders,
    PaymentReconciliationOut,
    ReconciliationQuery,
    StatusChange,
)
from shop_events import OrderDelivered
from shopkit.auth import ADMIN, current_user, only
from shopkit.database import fetch_or_404, now
from shopkit.errors import NotAllowed
from shopkit.idempotency import REPLAYED, takes_key
from shopkit.paging import page_of
from shopkit.service import Answer

orders = APIBlueprint("orders", __name__, abp_tags=[Tag(name="orders")])


@orders.post("/orders", responses={201: OrderOut})
@takes_key
def check_out(body: NewOrder) -> Answer:
    """Buy what is in the cart; with an Idempotency-Key a repeated request buys once."""
    order, is_replay = the_checkout().place_order(current_user(), body)
    return OrderOut.model_validate(order), 201, {REPLAYED: "true"} if is_replay else {}


@orders.get("/orders", responses={200: Orders})
def index(query: OrderQuery) -> Answer:
    """List one's orders, newest first; staff sees everybody's."""
    found = sa.select(Order).options(without_items).order_by(Order.id.desc())
    if not current_user().is_staff:
        found = found.filter_by(user_id=current_user().id)
    if query.user_id is not None:
        found = found.filter_by(user_id=query.user_id)
    if query.status is not None:
        found = found.filter_by(status=query.status)
    return page_of(found, query, OrderOut, within=with_items)


@orders.get("/orders/<int:order_id>", responses={200: OrderOut})
def show(path: OrderPath) -> Answer:
    """Show an order."""
    return OrderOut.model_validate(_order(path.order_id))


@orders.put("/orders/<int:order_id>", responses={200: OrderOut})
def change_status(path: OrderPath, body: StatusChange) -> Answer:
    """Move an order on; a customer may only cancel."""
    order = _order(path.order_id)
    body.refuse_changes_of(OrderOut.model_validate(order))
    if body.status == OrderStatus.CANCELLED:
        return _cancelled(order)
    if not current_user().is_staff:
        raise NotAllowed("You may only cancel your order.")
    if move_by_staff(order, body.status, current_user().username) and body.status == OrderStatus.DELIVERED:
        publish(OrderDelivered, order)
    db.session.commit()
    return OrderOut.model_validate(order)


@orders.get("/orders/reconciliation", responses={200: PaymentReconciliationOut})
@only(ADMIN)
def reconcile(query: ReconciliationQuery) -> Answer:
    """Compare the orders of the last days with what the payment provider says; nothing is wrong if nothing is named."""
    return reconciliation.reconcile(the_checkout().settlement.provider, now() - timedelta(days=query.days))


@orders.delete("/orders/<int:order_id>/cancel", responses={200: OrderOut})
def cancel(path: OrderPath) -> Answer:
    """Cancel an order: the money is given back, and what was bought can be bought again. It can be repeated."""
    return _cancelled(_order(path.order_id))


@orders.post("/orders/<int:order_id>/cancel", responses={200: OrderOut})
def cancel_by_post(path: OrderPath) -> Answer:
    """Cancel an order, for clients that cannot DELETE."""
    return _cancelled(_order(path.order_id))


def _order(order_id: int) -> Order:
    """An order that whoever asks may touch: one's own, any for staff."""
    whose = {} if current_user().is_staff else {"user_id": current_user().id}
    return fetch_or_404(Order, order_id, **whose)


def _cancelled(order: Order) -> OrderOut:
    the_checkout().settlement.cancel(order, current_user().username, "cancelled on request")
    return OrderOut.model_validate(order)
