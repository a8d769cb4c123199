"""Orders of the demonstration: two of alice's, one of bob's, each paid in the sandbox."""

import uuid
from typing import Any

from orders.models import Order, OrderItem
from orders.states import OrderStatus, PaymentStatus
from payments.provider import Payment, PaymentProvider
from shopkit.database import now
from shopkit.seeding import add_in_order, fills, main

ALICE, BOB = 1, 2
ADDRESSES = {
    ALICE: {
        "recipient": "Alice Archer",
        "address_line1": "12 Orchard Lane",
        "city": "Portland",
        "state": "OR",
        "postal_code": "97201",
        "country": "US",
    },
    BOB: {
        "recipient": "Bob Baker",
        "address_line1": "7 Mill Street",
        "city": "Austin",
        "state": "TX",
        "postal_code": "73301",
        "country": "US",
    },
}
HEADPHONES, SPEAKER, MICROPHONE = (
    {"product_id": product_id, "product_name": name, "product_image": f"/images/{picture}.svg", "price": price}
    for product_id, name, picture, price in (
        (1, "Wireless Headphones", "wireless-headphones", 15900),
        (2, "Portable Speaker", "portable-speaker", 5990),
        (4, "Studio Microphone", "studio-microphone", 10900),
    )
)
CARDS = {ALICE: (1, "visa", "4242"), BOB: (2, "mastercard", "4444")}


@fills(Order)
def seed(provider: PaymentProvider) -> None:
    """Add them to an empty database; what was bought are products of the product service's demonstration."""
    orders = (
        _bought(1, ALICE, OrderStatus.DELIVERED, [(HEADPHONES, 1), (MICROPHONE, 1)]),
        _bought(2, ALICE, OrderStatus.SHIPPED, [(SPEAKER, 2)]),
        _bought(3, BOB, OrderStatus.DELIVERED, [(HEADPHONES, 2)]),
    )
    if provider.name == "sandbox":
        for order in orders:
            payment = Payment(order.reference, "sandbox_succeeds_demonstration", order.total_amount, order.currency)
            order.payment_reference = provider.charge(payment).id
    add_in_order(orders)


def _bought(number: int, user_id: int, status: OrderStatus, items: list[tuple[dict[str, Any], int]]) -> Order:
    payment_method_id, brand, last_four = CARDS[user_id]
    return Order(
        reference=uuid.UUID(int=number),  # always the same, so that the sandbox charges it once
        user_id=user_id,
        status=status,
        payment_status=PaymentStatus.PAID,
        currency="USD",
        leased_until=now(),
        shipping_address=ADDRESSES[user_id],
        payment_method_id=payment_method_id,
        payment_brand=brand,
        payment_last_four=last_four,
        items=[OrderItem(**product, quantity=quantity) for product, quantity in items],
    )


if __name__ == "__main__":
    main()
