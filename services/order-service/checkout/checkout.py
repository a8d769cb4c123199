"""Turning a cart into an order, so that it never lies: paid if and only if confirmed, whatever dies when.

    pending ─► lines claimed ─► stock held ─► paid ─► stock sold ─► confirmed ─► claim ended
       └────────────┴───────────────┴─► failed  ▲
                                                └── from here it only goes forward, unless the stock is gone: then
                                                    refunded and failed

The order is saved first with its own uuid, its reference, under which all others know it: claim, reservation and
payment. Every step can be repeated, and every participant can be asked by the reference what became of a step. So
nothing is ever guessed: an order that stops half-way is settled by asking (`settlement.py`).
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from checkout.purchase import Purchase, gather, total_changed
from checkout.schemas import NewOrder
from checkout.settlement import Settlement, reload
from clients import OtherServices
from models import db
from orders.leases import LeaseLost
from orders.models import FAILED_OR_CANCELLED, Order, OrderItem
from orders.states import OrderStatus, PaymentStatus
from payments.provider import VOIDED, PaymentProvider
from shopkit import quotas
from shopkit.auth import User
from shopkit.database import now
from shopkit.errors import Conflict, NotFound, ShopError, Unavailable, UpstreamFailed, UpstreamTimeout
from shopkit.failpoints import reach
from shopkit.idempotency import REPLAYED, InUse, Reused, current_key, fingerprint
from shopkit.slots import Slots
from shopkit.transactions import reading

logger = logging.getLogger(__name__)

# What cart, product service and provider answer when somebody else has settled the order.
SETTLED_BY_ANOTHER = frozenset({"claim_ended", "reservation_ended", VOIDED})

FAILED_OR_CANCELLED_A_DAY = 1000

# Checkouts ask four services a dozen times: so many at once, and so many more that wait; THREADS has to be well above
# the sum, so that who looks at orders never waits for them.
AT_ONCE, WAITING = 8, 48
checking_out = Slots(AT_ONCE, WAITING, seconds=5.0)


class NothingClaimed(Exception):
    """The cart is not what it was; `why` is for the buyer."""

    def __init__(self, why: ShopError) -> None:
        super().__init__(why.message)
        self.why = why


@dataclass(frozen=True)
class Checkout:
    others: OtherServices
    provider: PaymentProvider
    settlement: Settlement

    def place_order(self, buyer: User, wanted: NewOrder) -> tuple[Order, bool]:
        """Check out the buyer's cart; the order, and whether it is that of an earlier request with the same key.

        :raise NotFound: the address or the payment method is not the buyer's.
        :raise Conflict: nothing can be bought, or it costs another total than the buyer saw.
        :raise TooManyToday: too many of the buyer's orders have failed or were cancelled.
        :raise Busy: too many others check out at this moment.
        :raise PaymentDeclined: nothing was bought; another payment method may do.
        :raise ShopError: another service failed; the order is failed too, or still pending and will be settled.
        """
        with checking_out:
            return self._place_order(buyer, wanted)

    def _place_order(self, buyer: User, wanted: NewOrder) -> tuple[Order, bool]:
        placed = self._placed_before(buyer)
        if placed is not None:
            return placed, True
        purchase = gather(self.others, buyer, wanted)
        reach("checkout.before_pending")
        order = _save_pending(purchase, self.settlement.lease_time)
        reach("checkout.after_pending")
        try:
            self._take_steps(order, purchase)
        except NothingClaimed as error:
            raise error.why from None
        except Exception as error:  # whatever it is, the buyer is told what became of the order
            self._finish_after(order, error)
        return order, False

    def _placed_before(self, buyer: User) -> Order | None:
        """What became of an earlier request with the same key, however long ago, so that it buys once.

        :raise Reused: that was another request.
        :raise InUse: it is still running.
        :raise ShopError: why it failed; another attempt needs a key of its own.
        """
        order = _order_with_this_key(buyer)
        if order is None:
            return None
        if order.key_fingerprint not in (None, fingerprint()):
            raise Reused
        if order.status == OrderStatus.PENDING and order.leased_until > now():
            raise InUse("A checkout with this key is still running.", order_id=order.id)
        if order.status == OrderStatus.PENDING:
            self._finish_after(order, None)
        if order.status == OrderStatus.FAILED:
            problem = _why_it_failed(order)
            problem.headers = {REPLAYED: "true"}
            raise problem
        return order

    def _take_steps(self, order: Order, purchase: Purchase) -> None:
        keep_lease = self.settlement.keep_lease
        self._claim(order, purchase)
        reach("checkout.after_claim")
        keep_lease(order)
        self._hold_stock(purchase)
        reach("checkout.after_reserve")
        keep_lease(order)
        charge = self.provider.charge(purchase.payment)
        reach("checkout.after_charge")
        keep_lease(order)
        self.others.stock.commit(order.reference)
        reach("checkout.after_commit")
        self.settlement.confirm(order, charge)
        reach("checkout.after_confirm")

    def _claim(self, order: Order, purchase: Purchase) -> None:
        """Take what is bought out of the cart; if there is nothing to take, there never was an order."""
        try:
            self.others.carts.claim(order.reference, order.id, purchase.cart)
        except (Conflict, NotFound) as error:
            if error.code in SETTLED_BY_ANOTHER:
                raise
            self.settlement.keep_lease(order)
            db.session.delete(order)
            db.session.commit()
            raise NothingClaimed(error) from None

    def _hold_stock(self, purchase: Purchase) -> None:
        """What the buyer saw is what is charged: another price in the meantime stops the checkout."""
        prices = self.others.stock.reserve(purchase.reference, purchase.cart.lines)
        if any(prices[line.product_id] != line.price for line in purchase.cart.lines):
            raise total_changed(sum(prices[line.product_id] * line.quantity for line in purchase.cart.lines))

    def _finish_after(self, order: Order, error: Exception | None) -> None:
        """After a step that was refused or failed: undo the others, or go on if it had worked after all.

        :param error: of the step; None if whoever took it is gone.
        :raise ShopError: why there is no order, or that it is not known yet.
        """
        order_id: int = sa.inspect(order).identity[0]  # which needs no database
        if error is not None and not isinstance(error, ShopError | LeaseLost):
            logger.error("the checkout of order %s failed", order_id, exc_info=error)
        reason = error if isinstance(error, ShopError) and error.code not in SETTLED_BY_ANOTHER else None
        if reason is not None or not isinstance(error, ShopError | LeaseLost):
            error = self._try_to_settle(order, order_id, reason) or error
        status = _status_now(order)
        if status == OrderStatus.PENDING:
            raise _pending(order_id, error) from error
        if status == OrderStatus.FAILED and reason is not None and reason.status >= 500:
            reason.extra["order_id"] = order_id
            raise reason
        if status == OrderStatus.FAILED:
            raise _why_it_failed(order) from error

    def _try_to_settle(self, order: Order, order_id: int, reason: ShopError | None) -> Exception | None:
        """Settle the order if that can be done now; otherwise what was in the way, and the recovery tries again."""
        try:
            db.session.rollback()
            self.settlement.settle(order, reason)
        except LeaseLost:
            logger.info("order %s is settled by somebody else", order_id)
        except Exception as failure:
            logger.warning("order %s is left to the recovery", order_id, exc_info=True)
            return failure
        return None


def _order_with_this_key(buyer: User) -> Order | None:
    if current_key() is None:
        return None
    with_key = sa.select(Order).filter_by(user_id=buyer.id, idempotency_key=current_key())
    with reading():
        order: Order | None = db.session.scalar(with_key)
    return order


def _save_pending(purchase: Purchase, lease_time: timedelta) -> Order:
    """Orders are kept for ever, and failing or being cancelled costs their buyer nothing: so a day has only so many."""
    quotas.one_more_today(
        Order,
        purchase.user_id,
        FAILED_OR_CANCELLED_A_DAY,
        FAILED_OR_CANCELLED,
        what="orders that fail or are cancelled",
    )
    order = _pending_order(purchase, lease_time)
    db.session.add(order)
    try:
        db.session.commit()
    except IntegrityError:  # the reference is new, so it is the key
        db.session.rollback()
        raise InUse("A checkout with this key is still running.") from None
    return order


def _pending_order(purchase: Purchase, lease_time: timedelta) -> Order:
    return Order(
        reference=purchase.reference,
        user_id=purchase.user_id,
        status=OrderStatus.PENDING,
        payment_status=PaymentStatus.NONE,
        currency=purchase.cart.currency,
        shipping_address=purchase.address,
        payment_method_id=purchase.method.id,
        payment_brand=purchase.method.brand,
        payment_last_four=purchase.method.last_four,
        idempotency_key=current_key(),
        key_fingerprint=fingerprint() if current_key() else None,
        leased_until=now() + lease_time,
        items=[OrderItem(**vars(line)) for line in purchase.cart.lines],
        history=[],
    )


def _status_now(order: Order) -> OrderStatus:
    """What has become of an order; as long as the database does not say, it is pending."""
    try:
        reload(order)
    except SQLAlchemyError:
        logger.exception("it is not known what became of an order")
        return OrderStatus.PENDING
    return order.status


def _why_it_failed(order: Order) -> ShopError:
    """As the buyer was told, or would have been."""
    problem = order.problem or {"status": 409, "code": "failed_before", "detail": "The checkout failed.", "extra": {}}
    error = ShopError(problem["detail"], code=problem["code"], **{**problem["extra"], "order_id": order.id})
    error.status = HTTPStatus(problem["status"])
    return error


def _pending(order_id: int, error: Exception | None) -> ShopError:
    kind = type(error) if isinstance(error, UpstreamFailed | UpstreamTimeout) else Unavailable
    problem = kind(
        "The order could not be finished yet; it will be completed or undone within a few minutes. Do not order again.",
        code="order_pending",
        order_id=order_id,
    )
    problem.headers = {}  # it says when to look, not to try again
    return problem
