"""Filling a cart: prices and stock are asked for first, and only then is the cart locked and changed."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from clients import AT_ONCE, Product, Products, products
from models import CartItem, contents_of, db, hold_cart, products_of
from schemas import CartOut, ItemOut, OutOfStock, PriceChanged, Problem, QuantityReduced
from shopkit.database import fetch_or_404
from shopkit.errors import Conflict, NotFound

MOST_PRODUCTS = AT_ONCE
MOST_OF_ONE = 99
ATTEMPTS = 5


def look_at(user_id: int) -> CartOut:
    """The cart at today's prices."""
    contents = contents_of(user_id)
    db.session.rollback()
    return _priced(user_id, contents, products().products({item.product_id for item in contents}))


def put_in(user_id: int, product_id: int, quantity: int) -> CartOut:
    """Put some of a product in the cart, which adds up with what is there; not yet committed.

    :raise NotFound: no such product.
    :raise Conflict: there are not that many, or it is too much for a cart.
    """

    def add(known: Products) -> None:
        product = _existing(known, product_id)
        item = _item_of(user_id, product_id)
        db.session.add(item)
        _set_quantity(item, product, item.quantity + quantity)

    return _change(user_id, add, product_id)


def set_quantity(user_id: int, item_id: int, quantity: int) -> CartOut:
    """Say how many of an item it shall be.

    :raise NotFound: no such item in this cart, or its product is no longer sold.
    :raise Conflict: there are not that many.
    """

    def change(known: Products) -> None:
        item = fetch_or_404(CartItem, item_id, user_id=user_id)
        _set_quantity(item, _existing(known, item.product_id), quantity)

    changed = _change(user_id, change)
    db.session.commit()
    return changed


def _change(user_id: int, change: Callable[[Products], None], *new: int) -> CartOut:
    """Change the cart, knowing the products in it; ask anew if somebody put others in while we were asking.

    The caller commits.
    """
    for _ in range(ATTEMPTS):
        wanted = products_of(user_id).union(new)
        db.session.rollback()
        if len(wanted) > MOST_PRODUCTS:
            raise Conflict(f"A cart holds at most {MOST_PRODUCTS} different products.", code="cart_full")
        known = products().products(wanted)
        hold_cart(user_id)
        if products_of(user_id) <= wanted:
            change(known)
            return _priced(user_id, contents_of(user_id), known)
        db.session.rollback()
    raise Conflict("The cart keeps changing; look at it and try again.", code="changed_meanwhile")


def _item_of(user_id: int, product_id: int) -> CartItem:
    """What is there of a product: perhaps nothing yet."""
    item = db.session.scalar(sa.select(CartItem).filter_by(user_id=user_id, product_id=product_id))
    return item or CartItem(user_id=user_id, product_id=product_id, quantity=0)


def _existing(known: Products, product_id: int) -> Product:
    if product_id not in known:
        raise NotFound(f"There is no product {product_id}.")
    return known[product_id]


def _set_quantity(item: CartItem, product: Product, wanted: int) -> None:
    if wanted > product.stock:
        raise Conflict(
            f"You want {wanted} of {product.name}, and {product.stock} are available.",
            code="out_of_stock",
            available=product.stock,
            wanted=wanted,
        )
    if wanted > MOST_OF_ONE:
        raise Conflict(f"A cart holds at most {MOST_OF_ONE} of one product.", code="too_many")
    item.quantity, item.seen_price, item.price_changed_at = wanted, product.price, None


def _priced(user_id: int, contents: Sequence[sa.Row[Any]], known: Products) -> CartOut:
    """The cart without what is no longer sold."""
    return CartOut(
        id=user_id,
        items=[
            ItemOut(
                id=item.id,
                product_id=product.id,
                product_name=product.name,
                product_image=product.image_url,
                price=product.price,
                quantity=item.quantity,
                problems=_problems(product, item),
            )
            for item in contents
            if (product := known.get(item.product_id))
        ],
    )


def _problems(product: Product, item: sa.Row[Any]) -> list[Problem]:
    """What the buyer does not know yet."""
    problems: list[Problem] = []
    if item.seen_price is not None and item.seen_price != product.price:
        message = f"The price of {product.name} has changed."
        problems.append(PriceChanged(message=message, seen_price=item.seen_price, since=item.price_changed_at))
    if product.stock == 0:
        problems.append(OutOfStock(message=f"{product.name} is out of stock.", since=item.sold_out_at))
    elif product.stock < item.quantity:
        message = f"You want {item.quantity} of {product.name}, and {product.stock} are available."
        problems.append(QuantityReduced(message=message, available=product.stock))
    return problems
