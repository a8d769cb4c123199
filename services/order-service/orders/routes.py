"""The routes of the orders that are there: list them, look at one, move it on, cancel it."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint

from event_publishers import publish
from orders.long_pages import turn_for, with_items, without_items
from orders.models import Order
from orders.moves import move_by_staff
from orders.schemas import OrderOut, OrderPath, OrderQuery, Orders, StatusChange, order_for
from orders.states import OrderStatus
from shop_events import OrderDelivered
from shopkit.auth import User, current_user
from shopkit.database import fetch_or_404
from shopkit.errors import NotAllowed
from shopkit.paging import page_of
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show

Cancel = Callable[[Order, str, str], None]
"""Cancels an order, gives its money back and restocks it; the texts are who wants that and why."""


def add_orders(api: APIBlueprint, cancel_order: Cancel) -> None:
    @api.get("/orders", responses={200: Orders})
    def index(query: OrderQuery) -> ViewResult:
        """List one's orders, newest first; staff sees everybody's."""
        viewer = current_user()
        wanted = _wanted(query, viewer)
        with turn_for(wanted, query):
            return page_of(wanted, query, order_for(viewer), within=with_items)

    @api.get("/orders/<int:order_id>", responses={200: OrderOut})
    def show(path: OrderPath) -> ViewResult:
        """Show an order."""
        return order_for(current_user()).model_validate(_order(path.order_id))

    @api.put("/orders/<int:order_id>", responses={200: OrderOut})
    def change_status(path: OrderPath, body: StatusChange) -> ViewResult:
        """Move an order on; a customer may only cancel."""
        order, shown_as = _order(path.order_id), order_for(current_user())
        body.refuse_changes_of(shown_as.model_validate(order))
        if body.status == OrderStatus.CANCELLED:
            return _cancelled(order, cancel_order)
        _move_on(order, body.status, current_user())
        return commit_and_show(order, shown_as)


def add_cancelling(api: APIBlueprint, cancel_order: Cancel) -> None:
    @api.delete("/orders/<int:order_id>/cancel", responses={200: OrderOut})
    def cancel(path: OrderPath) -> ViewResult:
        """Cancel an order: the money is given back, and what was bought can be bought again. It can be repeated."""
        return _cancelled(_order(path.order_id), cancel_order)

    @api.post("/orders/<int:order_id>/cancel", responses={200: OrderOut})
    def cancel_by_post(path: OrderPath) -> ViewResult:
        """Cancel an order, for clients that cannot DELETE."""
        return _cancelled(_order(path.order_id), cancel_order)


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


def _cancelled(order: Order, cancel_order: Cancel) -> OrderOut:
    cancel_order(order, current_user().username, "cancelled on request")
    return order_for(current_user()).model_validate(order)
