"""The cart of the demonstration: Alice has begun to shop."""

import sqlalchemy as sa

from models import Cart, CartItem, db

ALICE = 1
QUANTITIES = {2: 1, 5: 2}


def seed() -> None:
    """Fill Alice's cart in an empty database."""
    if db.session.scalar(sa.select(Cart.id).limit(1)):
        return
    cart = Cart(user_id=ALICE)
    db.session.add(cart)
    db.session.flush()
    for product_id, quantity in QUANTITIES.items():
        db.session.add(CartItem(cart_id=cart.id, product_id=product_id, quantity=quantity))
        db.session.flush()  # one by one, so that they stay in this order
    db.session.commit()


if __name__ == "__main__":
    from shopkit.prepare import main

    main(seed=True)
