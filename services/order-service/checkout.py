"""Turning a cart into an order, and an order back.

The order is saved first, `pending`, with its own uuid, under which all others know it: the stock's reservation and the
payment. Then stock is held, the payment taken, the stock sold, the order confirmed. If a step fails, what went before
is undone and the order is `failed`. No step runs inside a database transaction of ours.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

import payments
from clients import Cart, Partners, PaymentMethod
from models import Order, OrderItem, OrderStatus, PaymentStatus, db, move, move_payment
from payments import Payment, PaymentDeclined
from schemas import NewOrder
from shopkit.auth import User, current_user
from shopkit.errors import Conflict, ShopError

logger = logging.getLogger(__name__)

STILL_RUNNING = "A checkout with this Idempotency-Key is still running."


@dataclass(frozen=True)
class Purchase:
    """All that is known before anything is done."""

    reference: uuid.UUID
    user_id: int
    cart: Cart
    address: dict[str, Any]
    method: PaymentMethod

    @property
    def payment(self) -> Payment:
        return Payment(self.reference, self.method.provider_token, self.cart.total, self.cart.currency)


def placed_with(idempotency_key: str | None) -> int | None:
    """The order that was placed with this key before, so that a repeated request buys once.

    :raise Conflict: it is still being placed, or it failed: another attempt needs a key of its own.
    """
    if idempotency_key is None:
        return None
    order: Order | None = db.session.scalar(
        sa.select(Order).filter_by(user_id=current_user().id, idempotency_key=idempotency_key)
    )
    if order is not None and order.status == OrderStatus.PENDING:
        raise Conflict(STILL_RUNNING, code="still_running")
    if order is not None and order.status == OrderStatus.FAILED:
        raise Conflict("The checkout with this Idempotency-Key failed; use a new key.", code="failed_before")
    db.session.rollback()
    return order.id if order is not None else None


def place_order(buyer: User, wanted: NewOrder, idempotency_key: str | None, partners: Partners) -> int:
    """Check out the buyer's cart and return the id of the confirmed order.

    :raise NotFound: the address or the payment method is not the buyer's.
    :raise Conflict: the cart is empty, something is out of stock, or costs another price than the cart said.
    :raise PaymentDeclined: nothing was bought; another payment method may do.
    """
    purchase = _gather(buyer, wanted, partners)
    order_id = _save_pending(purchase, idempotency_key)
    undo: list[Callable[[], None]] = []
    try:
        undo.append(lambda: partners.stock.give_back(purchase.reference))
        _hold_stock(purchase, partners)
        charge = payments.charge(purchase.payment)
        undo.append(lambda: payments.refund(purchase.reference))
        partners.stock.commit(purchase.reference)
    except Exception as error:
        _undo(undo, order_id)
        _fail(order_id, declined=isinstance(error, PaymentDeclined))
        raise
    _confirm(order_id, charge)
    _empty_cart(purchase, partners)
    return order_id


def cancel_order(order: Order, partners: Partners) -> None:
    """Cancel, refund and restock; asking again finishes what an interruption left undone.

    :raise Conflict: it is too late for that.
    """
    if order.status != OrderStatus.CANCELLED:
        move(order, OrderStatus.CANCELLED)
        db.session.commit()
    elif order.payment_status != PaymentStatus.PAID:
        raise Conflict("The order is cancelled already.", code="wrong_status", status_now=order.status)
    else:
        db.session.rollback()
    payments.refund(order.reference)
    partners.stock.restock(order.reference)
    move_payment(order, PaymentStatus.REFUNDED)
    db.session.commit()


def _gather(buyer: User, wanted: NewOrder, partners: Partners) -> Purchase:
    cart = partners.carts.of_buyer()
    if not cart.lines:
        raise Conflict("The cart is empty.", code="cart_empty")
    if wanted.shipping_address is not None:
        address = wanted.shipping_address.model_dump()
    else:
        address = partners.profiles.address(wanted.address_id or 0)
    method = partners.profiles.payment_method(wanted.payment_method_id, buyer.id)
    return Purchase(uuid.uuid4(), buyer.id, cart, address, method)


def _save_pending(purchase: Purchase, idempotency_key: str | None) -> int:
    order = Order(
        reference=purchase.reference,
        user_id=purchase.user_id,
        currency=purchase.cart.currency,
        shipping_address=purchase.address,
        payment_method_id=purchase.method.id,
        payment_brand=purchase.method.brand,
        payment_last_four=purchase.method.last_four,
        idempotency_key=idempotency_key,
        items=[
            OrderItem(
                product_id=line.product_id,
                product_name=line.product_name,
                product_image=line.product_image,
                price=line.price,
                quantity=line.quantity,
            )
            for line in purchase.cart.lines
        ],
    )
    db.session.add(order)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(STILL_RUNNING, code="still_running") from None
    return order.id


def _hold_stock(purchase: Purchase, partners: Partners) -> None:
    """What the buyer saw is what is charged: another price in the meantime stops the checkout."""
    prices = partners.stock.reserve(purchase.reference, purchase.cart.lines)
    if any(prices[line.product_id] != line.price for line in purchase.cart.lines):
        raise Conflict("A price has changed; look at the cart again.", code="price_changed")


def _confirm(order_id: int, charge: str) -> None:
    order = db.session.get_one(Order, order_id)
    order.payment_reference = charge
    move(order, OrderStatus.CONFIRMED)
    move_payment(order, PaymentStatus.PAID)
    db.session.commit()


def _fail(order_id: int, *, declined: bool) -> None:
    order = db.session.get_one(Order, order_id)
    move(order, OrderStatus.FAILED)
    if declined:
        move_payment(order, PaymentStatus.FAILED)
    db.session.commit()


def _undo(steps: list[Callable[[], None]], order_id: int) -> None:
    """Undo the last step first; one that cannot be undone now must not keep the others from it."""
    for step in reversed(steps):
        try:
            step()
        except ShopError:
            logger.exception("a step of the failed order %s was not undone", order_id)


def _empty_cart(purchase: Purchase, partners: Partners) -> None:
    """The order stands even if the cart cannot be emptied."""
    try:
        partners.carts.remove_bought(purchase.user_id, [line.product_id for line in purchase.cart.lines])
    except ShopError:
        logger.warning("the cart of user %s was not emptied after checkout", purchase.user_id, exc_info=True)
