"""What is known of a purchase before anything is done: the cart, where it goes, and how it is paid."""

import uuid
from dataclasses import dataclass
from typing import Any

from checkout.schemas import NewOrder
from clients import Cart, OtherServices, PaymentMethod
from payments.provider import Payment
from shopkit.auth import User
from shopkit.errors import Conflict
from shopkit.schemas import amount


@dataclass(frozen=True)
class Purchase:
    reference: uuid.UUID
    user_id: int
    cart: Cart
    address: dict[str, Any]
    method: PaymentMethod

    @property
    def payment(self) -> Payment:
        return Payment(self.reference, self.method.provider_token, self.cart.total, self.cart.currency)


def gather(others: OtherServices, buyer: User, wanted: NewOrder) -> Purchase:
    """:raise NotFound: the address or the payment method is not the buyer's.
    :raise Invalid: no address is given, and the buyer has no default one.
    :raise Conflict: nothing can be bought, or it costs another total than the buyer saw.
    """
    cart = others.carts.of_buyer()
    _refuse_what_cannot_be_bought(cart)
    seen = cart.seen_total if wanted.expected_total is None else wanted.expected_total
    if seen != cart.total:
        raise total_changed(cart.total)
    address = _address(others, wanted)
    method = others.profiles.payment_method(wanted.payment_method_id, buyer.id)
    return Purchase(uuid.uuid4(), buyer.id, cart, address, method)


def total_changed(total: int) -> Conflict:
    return Conflict("Prices have changed; look at the cart again.", code="total_changed", total=amount(total))


def _refuse_what_cannot_be_bought(cart: Cart) -> None:
    if not cart.lines and cart.in_checkout_by is not None:
        raise Conflict(
            f"Order {cart.in_checkout_by} is buying what is in the cart.",
            code="checkout_in_progress",
            order_id=cart.in_checkout_by,
        )
    if not cart.lines:
        raise Conflict("The cart is empty.", code="cart_empty")
    if cart.no_longer_sold:
        names = ", ".join(line.product_name for line in cart.no_longer_sold)
        raise Conflict(
            f"No longer sold: {names}. Take it out of the cart.",
            code="no_longer_sold",
            items=[{"product_id": line.product_id, "product_name": line.product_name} for line in cart.no_longer_sold],
        )


def _address(others: OtherServices, wanted: NewOrder) -> dict[str, Any]:
    if wanted.shipping_address is not None:
        return wanted.shipping_address.model_dump()
    if wanted.address_id is not None:
        return others.profiles.address(wanted.address_id)
    return others.profiles.default_address()
