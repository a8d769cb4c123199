"""The cart of the demonstration: Alice has begun to shop."""

from models import Cart, CartItem
from shopkit.seeding import add_in_order, fills, main

ALICE = 1
QUANTITIES = {2: 1, 5: 2}


@fills(Cart)
def seed() -> None:
    """Fill Alice's cart in an empty database."""
    cart = Cart(user_id=ALICE)
    add_in_order([cart])
    add_in_order(CartItem(cart_id=cart.id, product_id=each, quantity=quantity) for each, quantity in QUANTITIES.items())


if __name__ == "__main__":
    main()
