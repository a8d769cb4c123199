"""The HTTP interface of the orders: check out, list, look at one, move it on, cancel it."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from checkout.checkout import Checkout
from checkout.schemas import NewOrder
from checkout.settlement import Settlement
from event_publishers import publish
from orders.long_pages import with_items, without_items
from orders.models import Order
from orders.moves import move_by_staff
from orders.schemas import OrderOut, OrderPath, OrderQuery, Orders, StatusChange, order_for
from orders.states import OrderStatus
from payments import reconciliation
from payments.provider import PaymentProvider
from payments.schemas import PaymentReconciliationOut, ReconciliationQuery
from shop_events import OrderDelivered
from shopkit.auth import ADMIN, User, current_user, only
from shopkit.database import fetch_or_404, now
from shopkit.errors import NotAllowed
from shopkit.idempotency import REPLAYED, takes_key
from shopkit.paging import page_of
from shopkit.service import Answer
from shopkit.transactions import commit_and_show


def orders(checkout: Checkout, settlement: Settlement, provider: PaymentProvider) -> APIBlueprint:
    api = APIBlueprint("orders", __name__, abp_tags=[Tag(name="orders")])

    def cancelled(order: Order) -> OrderOut:
        settlement.cancel(order, current_user().username, "cancelled on request")
        return _shown(order)

    @api.post("/orders", responses={201: OrderOut})
    @takes_key
    def check_out(body: NewOrder) -> Answer:
        """Buy what is in the cart; with an Idempotency-Key a repeated request buys once."""
        order, is_replay = checkout.place_order(current_user(), body)
        return _shown(order), 201, {REPLAYED: "true"} if is_replay else {}

    @api.get("/orders", responses={200: Orders})
    def index(query: OrderQuery) -> Answer:
        """List one's orders, newest first; staff sees everybody's."""
        viewer = current_user()
        return page_of(_wanted(query, viewer), query, order_for(viewer), within=with_items)

    @api.get("/orders/<int:order_id>", responses={200: OrderOut})
    def show(path: OrderPath) -> Answer:
        """Show an order."""
        return _shown(_order(path.order_id))

    @api.put("/orders/<int:order_id>", responses={200: OrderOut})
    def change_status(path: OrderPath, body: StatusChange) -> Answer:
        """Move an order on; a customer may only cancel."""
        order = _order(path.order_id)
        body.refuse_changes_of(_shown(order))
        if body.status == OrderStatus.CANCELLED:
            return cancelled(order)
        _move_on(order, body.status, current_user())
        return commit_and_show(order, order_for(current_user()))

    @api.get("/orders/reconciliation", responses={200: PaymentReconciliationOut})
    @only(ADMIN)
    def reconcile(query: ReconciliationQuery) -> Answer:
        """Compare the orders of the last days with what the payment provider says; nothing is wrong if nothing is named."""  # noqa: E501
        return reconciliation.reconcile(provider, now() - timedelta(days=query.days))

    @api.delete("/orders/<int:order_id>/cancel", responses={200: OrderOut})
    def cancel(path: OrderPath) -> Answer:
        """Cancel an order: the money is given back, and what was bought can be bought again. It can be repeated."""
        return cancelled(_order(path.order_id))

    @api.post("/orders/<int:order_id>/cancel", responses={200: OrderOut})
    def cancel_by_post(path: OrderPath) -> Answer:
        """Cancel an order, for clients that cannot DELETE."""
        return cancelled(_order(path.order_id))

    return api


def _shown(order: Order) -> OrderOut:
    """An order as whoever asks sees it."""
    return order_for(current_user()).model_validate(order)


def _wanted(query: OrderQuery, viewer: User) -> sa.Select[Any]:
    found = sa.select(Order).options(without_items).order_by(Order.id.desc())
    if not viewer.is_staff:
        found = found.filter_by(user_id=viewer.id)
    if query.user_id is not None:
        found = found.filter_by(user_id=query.user_id)
    if query.status is not None:
        found = found.filter_by(status=query.status)
    return found


def _order(order_id: int) -> Order:
    """An order that whoever asks may touch: one's own, any for staff."""
    whose = {} if current_user().is_staff else {"user_id": current_user().id}
    return fetch_or_404(Order, order_id, **whose)


def _move_on(order: Order, status: OrderStatus, user: User) -> None:
    if not user.is_staff:
        raise NotAllowed("You may only cancel your order.")
    if move_by_staff(order, status, user.username) and status == OrderStatus.DELIVERED:
        publish(OrderDelivered, order)
