"""Seeing an order to its end, by asking what became of its parts: paid and confirmed, or neither.

Whoever finds an order half-way does the same, be it the request after a time-out, the recovery after a crash, or a
repeated cancellation. Who works on a pending order has its lease, and makes sure of it before each step; no step runs
inside a database transaction. The status is compared and set, so that of two who get there at once one wins, and the
other looks at what the order was settled to.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from clients import OtherServices
from event_publishers import publish
from models import db
from orders.leases import keep_lease, take_over
from orders.models import Order
from orders.moves import move, move_payment, wrong_status
from orders.states import STAFF_ACTIONS, OrderStatus, PaymentStatus
from payments.provider import Charge, PaymentDeclined, PaymentProvider
from shop_events import OrderCancelled, OrderConfirmed
from shopkit.database import now
from shopkit.errors import Conflict, NotFound, ShopError
from shopkit.failpoints import reach
from shopkit.transactions import end_reading, reading

logger = logging.getLogger(__name__)

THIS_SERVICE = "order-service"  # as the one who moved an order
RECOVERED_AT_ONCE = 20


@dataclass(frozen=True)
class Settlement:
    """:param lease_time: how long whoever works on an order has it alone, before the recovery takes it over."""

    others: OtherServices
    provider: PaymentProvider
    lease_time: timedelta

    def recover(self) -> None:
        """Job: settle what was interrupted, a bounded number of orders, each on a lease of its own."""
        for _ in range(RECOVERED_AT_ONCE):
            order = take_over(now(), self.lease_time)
            if order is None:
                return
            try:
                self.settle(order)
            except Exception:  # whatever is wrong with one order must not keep the others waiting
                db.session.rollback()
                logger.warning("an order is not settled yet", exc_info=True)

    def keep_lease(self, order: Order) -> None:
        """:raise LeaseLost: somebody else has taken the order over."""
        keep_lease(order, self.lease_time)

    def settle(self, order: Order, why: ShopError | None = None) -> None:
        """Drive an order that is ours to its end.

        :param why: what the buyer is told if it fails.
        :raise ShopError: somebody whom we had to ask does not answer; the order stays as it is.
        :raise LeaseLost: somebody else settles it.
        """
        if order.status == OrderStatus.CANCELLED:
            self._finish_cancelling(order)
            return
        self.keep_lease(order)
        # Either there is a charge, or there will never be one.
        charge = self.provider.void(order.reference)
        if charge is None or charge.declined or charge.refunded:
            self._undo(order, charge, why)
            return
        self.keep_lease(order)
        try:
            self.others.stock.commit(order.reference)
        except (Conflict, NotFound) as error:  # held for too long: it may be somebody else's by now
            self.keep_lease(order)
            self.provider.refund(order.reference)
            self._undo(order, charge, error)
            return
        self.confirm(order, charge)

    def confirm(self, order: Order, charge: Charge) -> None:
        """Confirm an order that is paid and whose stock is sold, and say so to all who want to know.

        :raise Conflict: it is settled otherwise; then the money and the stock have been given back.
        """
        try:
            order.payment_reference = charge.id
            move(order, OrderStatus.CONFIRMED, THIS_SERVICE, "paid, and the stock is sold")
            move_payment(order, PaymentStatus.PAID, THIS_SERVICE, "charged by the provider")
            publish(OrderConfirmed, order)
            db.session.commit()
        except Conflict:
            reload(order)
            was_paid = order.payment_status in (PaymentStatus.PAID, PaymentStatus.REFUNDED)
            if was_paid and order.status != OrderStatus.FAILED:
                return  # somebody else has confirmed it, at the same moment or before it was cancelled
            self._give_all_back(order, charge)
            raise

    def cancel(self, order: Order, actor: str, reason: str) -> None:
        """Cancel, refund and restock; asking again finishes what an interruption left undone, or changes nothing.

        :raise Conflict: it is too late for that.
        """
        reach("cancel.before")
        self._move_to_cancelled(order, actor, reason)
        reach("cancel.after_cancelled")
        end_reading()
        if order.payment_status == PaymentStatus.PAID:
            self._finish_cancelling(order)

    def _move_to_cancelled(self, order: Order, actor: str, reason: str) -> None:
        for _ in OrderStatus:  # others may be faster, but not more often than that
            if order.status == OrderStatus.CANCELLED:
                return
            if "cancel" not in order.possible(STAFF_ACTIONS):
                raise wrong_status(order, OrderStatus.CANCELLED)
            try:
                move(order, OrderStatus.CANCELLED, actor, reason)
                order.leased_until = now() + self.lease_time
                publish(OrderCancelled, order)
                db.session.commit()
            except Conflict as error:
                if error.code != "changed_meanwhile":
                    raise
                reload(order)

    def _give_all_back(self, order: Order, charge: Charge) -> None:
        """Money and stock of an order that had failed before it could be confirmed."""
        self.provider.refund(order.reference)
        self.others.stock.give_back(order.reference)
        if order.payment_status != PaymentStatus.REFUNDED:
            _note_refund(order, charge, "the order had failed already")
            db.session.commit()

    def _finish_cancelling(self, order: Order) -> None:
        self.provider.refund(order.reference)
        reach("cancel.after_refund")
        self.others.stock.restock(order.reference)
        reach("cancel.after_restock")
        try:
            move_payment(order, PaymentStatus.REFUNDED, THIS_SERVICE, "the order was cancelled")
            db.session.commit()
        except Conflict:
            reload(order)
            if order.payment_status != PaymentStatus.REFUNDED:  # and not: somebody else has finished it
                raise
        reach("cancel.after_refunded")

    def _undo(self, order: Order, charge: Charge | None, why: ShopError | None) -> None:
        """Fail an order whose money was not taken, or was given back: stock and cart are as they were."""
        self.keep_lease(order)
        self.others.stock.give_back(order.reference)
        self.keep_lease(order)
        self.others.carts.return_lines(order.reference)
        try:
            order.problem = _problem(PaymentDeclined.because(charge.declined) if charge and charge.declined else why)
            move(order, OrderStatus.FAILED, THIS_SERVICE, order.problem["code"])
            if charge and charge.declined:
                move_payment(order, PaymentStatus.FAILED, THIS_SERVICE, charge.declined)
            elif charge:
                _note_refund(order, charge, order.problem["code"])
            db.session.commit()
        except Conflict:
            reload(order)
            if order.status != OrderStatus.FAILED:  # and not: somebody else has undone it
                raise


def reload(order: Order) -> None:
    """Look at an order as it is now."""
    db.session.rollback()
    with reading():
        db.session.refresh(order)


def _note_refund(order: Order, charge: Charge, reason: str) -> None:
    order.payment_reference = charge.id
    move_payment(order, PaymentStatus.PAID, THIS_SERVICE, "charged by the provider")
    move_payment(order, PaymentStatus.REFUNDED, THIS_SERVICE, reason)


def _problem(why: ShopError | None) -> dict[str, Any]:
    """What is kept of an error, to answer with it again; that a service was away for a moment is no lasting reason."""
    if why is None or why.status >= 500:
        why = Conflict("The checkout was interrupted; nothing was bought.", code="checkout_interrupted")
    return {"status": why.status, "code": why.code, "detail": why.message, "extra": why.extra}
