"""Comparing the orders with the payment provider's ledger: money is kept if and only if an order is paid in full."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from models import db
from orders.models import Order, OrderItem
from orders.states import OrderStatus, PaymentStatus
from payments.provider import Charge, PaymentProvider
from payments.schemas import ContradictionOut, PaymentReconciliationOut
from shopkit.transactions import reading

_LIVE = frozenset({OrderStatus.CONFIRMED, OrderStatus.PROCESSING, OrderStatus.SHIPPED, OrderStatus.DELIVERED})
# By how much an order and its charge may differ in time: one is saved before the other, and by another clock.
_CLOCKS_APART = timedelta(hours=1)


class OrderRow(NamedTuple):
    """What is compared of an order; to load a hundred thousand orders with all that they have would be too much."""

    id: int
    reference: uuid.UUID
    created_at: datetime
    status: str
    payment_status: str
    currency: str
    total_amount: int


def reconcile(provider: PaymentProvider, since: datetime) -> PaymentReconciliationOut:
    """Compare twice if something is wrong: an order may have moved on between looking at it and at its charge.

    :raise ShopError: the provider does not answer.
    """
    first = _compare(provider, since)
    if not first.contradictions:
        return first
    second = _compare(provider, since)
    seen = {each.reference for each in first.contradictions}
    second.contradictions = [each for each in second.contradictions if each.reference in seen]
    return second


def _compare(provider: PaymentProvider, since: datetime) -> PaymentReconciliationOut:
    orders = {order.reference: order for order in _orders(since - 2 * _CLOCKS_APART)}
    charges = provider.charges(since - _CLOCKS_APART)
    recent = {key for key, order in orders.items() if order.created_at >= since}
    keys = charges.keys() | recent
    return PaymentReconciliationOut(
        since=since,
        orders=len(recent),
        charges=len(charges),
        in_progress=sum(map(_is_in_progress, orders.values())),
        contradictions=[
            _contradiction(key, orders.get(key), charges.get(key))
            for key in sorted(keys)
            if not _agree(orders.get(key), charges.get(key))
        ],
    )


def _orders(since: datetime) -> Sequence[OrderRow]:
    of_items = sa.cast(OrderItem.price, sa.BigInteger) * OrderItem.quantity
    total = sa.cast(sa.func.sum(of_items), sa.BigInteger)
    columns = Order.id, Order.reference, Order.created_at, Order.status, Order.payment_status, Order.currency
    found = sa.select(*columns, total).join(OrderItem).where(Order.created_at >= since).group_by(*columns)
    with reading():
        return [OrderRow(*row) for row in db.session.execute(found)]


def _agree(order: OrderRow | None, charge: Charge | None) -> bool:
    if order is None:
        return charge is None or charge.declined is not None
    if _is_in_progress(order):
        return True
    if charge is None:
        return order.payment_status == PaymentStatus.NONE and order.status == OrderStatus.FAILED
    if charge.declined:
        return (order.status, order.payment_status) == (OrderStatus.FAILED, PaymentStatus.FAILED)
    if charge.refunded:
        return order.payment_status == PaymentStatus.REFUNDED and order.status not in _LIVE
    is_paid = order.payment_status == PaymentStatus.PAID and order.status in _LIVE
    return is_paid and (charge.amount, charge.currency) == (order.total_amount, order.currency)


def _is_in_progress(order: OrderRow) -> bool:
    is_half_cancelled = order.status == OrderStatus.CANCELLED and order.payment_status == PaymentStatus.PAID
    return order.status == OrderStatus.PENDING or is_half_cancelled


def _contradiction(key: uuid.UUID, order: OrderRow | None, charge: Charge | None) -> ContradictionOut:
    found = ContradictionOut(reference=key)
    if order is not None:
        found.order_id, found.status, found.payment_status = order.id, order.status, order.payment_status
        found.total_amount = order.total_amount
    if charge is not None:
        found.charged, found.declined, found.refunded = charge.amount, charge.declined, charge.refunded
    return found
