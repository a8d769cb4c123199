"""Turning a cart into an order, so that it never lies: paid if and only if confirmed, whatever dies when.

    pending ─► stock held ─► paid ─► stock sold ─► confirmed ─► cart emptied
       └──────────┴─► failed  ▲
                              └── from here it only goes forward, unless the stock is gone: then refunded and failed

The order is saved first with its own uuid, its reference, under which all others know it: reservation id and payment
key. Every step can be repeated, and every participant can be asked by the reference what became of a step. So nothing
is ever guessed: who finds an order half-way, be it the request after a time-out or the recovery after a crash, asks
and drives it to its end (`settle`). No step runs inside a database transaction.
"""

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import IntegrityError

from clients import Cart, Partners, PaymentMethod
from models import Order, OrderItem, OrderStatus, PaymentStatus, db, lease, move, move_payment
from notices import announce
from payments import Charge, Payment, PaymentProvider
from schemas import NewOrder
from shopkit.auth import User
from shopkit.database import now
from shopkit.errors import Conflict, NotFound, ShopError, UpstreamFailed, UpstreamTimeout
from shopkit.failpoints import reach
from shopkit.idempotency import InUse
from shopkit.schemas import amount

logger = logging.getLogger(__name__)

US = "order-service"
RECOVERED_AT_ONCE = 20


def the_checkout() -> "Checkout":
    found: Checkout = current_app.extensions["checkout"]
    return found


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


@dataclass(frozen=True)
class Checkout:
    """The use case and whom it needs.

    :param patience: how long somebody who works on an order is left alone before the recovery takes it over.
    """

    partners: Partners
    provider: PaymentProvider
    patience: timedelta

    def place_order(self, buyer: User, wanted: NewOrder, idempotency_key: str | None) -> Order:
        """Check out the buyer's cart and return the confirmed order.

        :raise NotFound: the address or the payment method is not the buyer's.
        :raise Conflict: the cart is empty, something is out of stock, or it costs another total than the buyer saw.
        :raise PaymentDeclined: nothing was bought; another payment method may do.
        :raise ShopError: another service failed; the order is failed too, or still pending and will be settled.
        """
        placed = self._placed_with(idempotency_key, buyer)
        if placed is not None:
            return placed
        purchase = self._gather(buyer, wanted)
        reach("checkout.before_pending")
        order = self._save_pending(purchase, idempotency_key)
        reach("checkout.after_pending")
        try:
            self._run(order, purchase)
        except ShopError as error:
            self._settle_after(order, error)
        self._empty_cart(order)
        reach("checkout.after_cart")
        return order

    def recover(self) -> None:
        """Settle what was interrupted: a bounded number of orders, each on a lease of its own."""
        for order in lease(now(), self.patience, RECOVERED_AT_ONCE):
            try:
                self.settle(order)
            except Exception:  # whatever is wrong with one order must not keep the others waiting
                db.session.rollback()
                logger.warning("order %s is not settled yet", order.id, exc_info=True)

    def settle(self, order: Order, why: str = "interrupted") -> None:
        """Drive an order that stopped half-way to its end, by asking what became of its parts.

        :raise ShopError: somebody whom we had to ask does not answer; the order stays as it is.
        """
        if order.status == OrderStatus.CANCELLED:
            self.finish_cancelling(order)
            return
        # Either there is a charge, or there will never be one.
        charge = self.provider.void(order.reference)
        if charge is None or charge.declined or charge.refunded:
            self.partners.stock.give_back(order.reference)
            _fail(order, charge, why)
            return
        try:
            self.partners.stock.commit(order.reference)
        except (Conflict, NotFound):  # held for too long: it may be somebody else's by now
            self.provider.refund(order.reference)
            self.partners.stock.give_back(order.reference)
            _fail(order, charge, "reservation_ended")
            return
        _confirm(order, charge)
        self._empty_cart(order)

    def cancel(self, order: Order, actor: str, reason: str) -> None:
        """Cancel, refund and restock; asking again finishes what an interruption left undone.

        :raise Conflict: it is too late for that.
        """
        reach("cancel.before")
        if order.status != OrderStatus.CANCELLED:
            order.leased_until = now() + self.patience
            move(order, OrderStatus.CANCELLED, actor, reason)
            announce("order.cancelled", order)
            db.session.commit()
        elif order.payment_status != PaymentStatus.PAID:
            raise Conflict("The order is cancelled already.", code="wrong_status", status_now=order.status)
        else:
            db.session.commit()
        reach("cancel.after_cancelled")
        self.finish_cancelling(order)

    def finish_cancelling(self, order: Order) -> None:
        self.provider.refund(order.reference)
        reach("cancel.after_refund")
        self.partners.stock.restock(order.reference)
        reach("cancel.after_restock")
        try:
            move_payment(order, PaymentStatus.REFUNDED, US, "the order was cancelled")
            db.session.commit()
        except Conflict:  # somebody else has finished it at the same moment
            _reload(order)
        reach("cancel.after_refunded")

    def _placed_with(self, idempotency_key: str | None, buyer: User) -> Order | None:
        """What became of an earlier request with the same key, so that it buys once even if we were killed on the way.

        :raise Conflict: it is still running, or it failed: another attempt needs a key of its own.
        """
        if idempotency_key is None:
            return None
        order: Order | None = db.session.scalar(
            sa.select(Order).filter_by(user_id=buyer.id, idempotency_key=idempotency_key)
        )
        db.session.commit()
        if order is None:
            return None
        if order.status == OrderStatus.PENDING and order.leased_until <= now():
            self.settle(order)
        if order.status == OrderStatus.PENDING:
            raise InUse("A checkout with this Idempotency-Key is still running.")
        if order.status == OrderStatus.FAILED:
            raise Conflict("The checkout with this Idempotency-Key failed; use a new key.", code="failed_before")
        return order

    def _gather(self, buyer: User, wanted: NewOrder) -> Purchase:
        cart = self.partners.carts.of_buyer()
        if not cart.lines:
            raise Conflict("The cart is empty.", code="cart_empty")
        seen = cart.seen_total if wanted.expected_total is None else wanted.expected_total
        if seen != cart.total:
            raise _total_changed(cart.total)
        if wanted.shipping_address is not None:
            address = wanted.shipping_address.model_dump()
        else:
            address = self.partners.profiles.address(wanted.address_id or 0)
        method = self.partners.profiles.payment_method(wanted.payment_method_id, buyer.id)
        return Purchase(uuid.uuid4(), buyer.id, cart, address, method)

    def _save_pending(self, purchase: Purchase, idempotency_key: str | None) -> Order:
        order = Order(
            reference=purchase.reference,
            user_id=purchase.user_id,
            status=OrderStatus.PENDING,
            payment_status=PaymentStatus.NONE,
            currency=purchase.cart.currency,
            shipping_address=purchase.address,
            payment_method_id=purchase.method.id,
            payment_brand=purchase.method.brand,
            payment_last_four=purchase.method.last_four,
            idempotency_key=idempotency_key,
            leased_until=now() + self.patience,
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
            history=[],
        )
        db.session.add(order)
        try:
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            raise InUse("A checkout with this Idempotency-Key is still running.") from None
        return order

    def _run(self, order: Order, purchase: Purchase) -> None:
        self._hold_stock(purchase)
        reach("checkout.after_reserve")
        charge = self.provider.charge(purchase.payment)
        reach("checkout.after_charge")
        self.partners.stock.commit(order.reference)
        reach("checkout.after_commit")
        _confirm(order, charge)
        reach("checkout.after_confirm")

    def _hold_stock(self, purchase: Purchase) -> None:
        """What the buyer saw is what is charged: another price in the meantime stops the checkout."""
        prices = self.partners.stock.reserve(purchase.reference, purchase.cart.lines)
        total = sum(prices[line.product_id] * line.quantity for line in purchase.cart.lines)
        if total != purchase.cart.total:
            raise _total_changed(total)

    def _settle_after(self, order: Order, error: ShopError) -> None:
        """A step said no, or nothing: undo the others, or go on if it had worked after all.

        :raise ShopError: why there is no order; the recovery tries again to settle what cannot be settled now.
        """
        try:
            self.settle(order, error.code)
        except ShopError:
            logger.warning("order %s is left to the recovery", order.id, exc_info=True)
        if order.status == OrderStatus.CONFIRMED:
            return
        if order.status == OrderStatus.PENDING and isinstance(error, UpstreamFailed | UpstreamTimeout):
            raise type(error)(
                "The order could not be finished yet; it will be completed or undone within a few minutes.",
                code="order_pending",
                order_id=order.id,
            ) from error
        raise error

    def _empty_cart(self, order: Order) -> None:
        """The order stands even if the cart cannot be emptied."""
        try:
            self.partners.carts.remove_bought(order.user_id, [item.product_id for item in order.items])
        except ShopError:
            logger.warning("the cart of user %s was not emptied after checkout", order.user_id, exc_info=True)


def _total_changed(total: int) -> Conflict:
    return Conflict("The total has changed; look at the cart again.", code="total_changed", total=amount(total))


def _confirm(order: Order, charge: Charge) -> None:
    """Confirm a paid order, and say so to all who want to know, in one transaction."""
    order.payment_reference = charge.id
    try:
        move(order, OrderStatus.CONFIRMED, US, "paid, and the stock is sold")
        move_payment(order, PaymentStatus.PAID, US, "charged by the provider")
        announce("order.confirmed", order)
        db.session.commit()
    except Conflict:  # somebody else has settled it at the same moment
        _reload(order)


def _fail(order: Order, charge: Charge | None, reason: str) -> None:
    try:
        move(order, OrderStatus.FAILED, US, charge.declined if charge and charge.declined else reason)
        if charge and charge.declined:
            move_payment(order, PaymentStatus.FAILED, US, charge.declined)
        elif charge:
            order.payment_reference = charge.id
            move_payment(order, PaymentStatus.PAID, US, "charged by the provider")
            move_payment(order, PaymentStatus.REFUNDED, US, reason)
        db.session.commit()
    except Conflict:  # somebody else has settled it at the same moment
        _reload(order)


def _reload(order: Order) -> None:
    db.session.rollback()
    db.session.refresh(order)
    db.session.commit()
