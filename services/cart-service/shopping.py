"""Filling a cart: prices and stock are asked for first, and only then is the cart locked and changed.

Nothing here commits, so that a change and what belongs to it stand or fall together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

import claims
from clients import AT_ONCE, Product, ProductClient, Products
from models import Cart, CartItem, Claim, cart_of, contents_of, db, free_items, locked_cart, products_of
from schemas import (
    MOST_OF_ONE,
    CartOut,
    InCheckout,
    ItemInCheckout,
    ItemOut,
    LineProblem,
    NoLongerSold,
    OutOfStock,
    PriceChanged,
    QuantityChange,
    QuantityReduced,
)
from shopkit.database import fetch_or_404
from shopkit.errors import Conflict, NotFound
from shopkit.transactions import reading

MOST_PRODUCTS = AT_ONCE

Change = Callable[[Cart, Products], None]
Item = CartItem | sa.Row[Any]


@dataclass(frozen=True)
class Shopping:
    """What a customer does to their cart, knowing what the products in it cost and how many there are."""

    products: ProductClient

    def look_at(self, user_id: int) -> CartOut:
        """The cart at today's prices."""
        with reading():
            cart = cart_of(user_id)  # first, so that what is seen is never older than the version that is said
            contents = contents_of(cart)
        return _priced(cart, contents, self.products.with_ids({item.product_id for item in contents}))

    def put_in(self, user_id: int, product_id: int, quantity: int) -> CartOut:
        """Put some of a product in the cart; it adds up with what is there.

        :raise NotFound: no such product.
        :raise Conflict: there are not that many, or it is too much for a cart.
        """

        def add(cart: Cart, known: Products) -> None:
            product = known[product_id]
            if not product.is_sold:
                raise NotFound(f"There is no product {product_id}.")
            item = _item_of(cart, product_id)
            db.session.add(item)
            _set_quantity(item, product, item.quantity + quantity)

        return self._change(user_id, add, product_id)

    def set_quantity(self, user_id: int, item_id: int, wanted: QuantityChange) -> CartOut:
        """Say how many of an item it shall be; none takes it out.

        :raise NotFound: no such item in this cart.
        :raise Invalid: something else of it would be changed.
        :raise Conflict: there are not that many, its product is no longer sold, or an order is buying it.
        """

        def change(cart: Cart, known: Products) -> None:
            item = _free_item(cart, item_id)
            product = known[item.product_id]
            wanted.refuse_changes_of(_shown(item, product))
            if wanted.quantity == 0:
                db.session.delete(item)
                return
            if not product.is_sold:
                raise Conflict(f"{product.name} is no longer sold.", code="no_longer_sold")
            _set_quantity(item, product, wanted.quantity)

        return self._change(user_id, change)

    def _change(self, user_id: int, change: Change, *new: int) -> CartOut:
        """Change the cart, knowing the products in it; ask for those that somebody put in while we were asking."""
        known: Products = {}
        for _ in range(MOST_PRODUCTS + 1):  # each time, another product has come in
            with reading():
                wanted = products_of(user_id).union(new)
            if len(wanted) > MOST_PRODUCTS:
                raise Conflict(f"A cart holds at most {MOST_PRODUCTS} different products.", code="cart_full")
            known |= self.products.with_ids(wanted - known.keys())
            cart = locked_cart(user_id)
            if products_of(user_id) <= wanted:
                change(cart, known)
                cart.version += 1
                return _priced(cart, contents_of(cart), known)
            db.session.rollback()
        raise Conflict("The cart keeps changing; look at it and try again.", code="changed_meanwhile")


def take_out(user_id: int, item_id: int) -> None:
    """:raise NotFound: no such item in this cart.
    :raise Conflict: an order is buying it.
    """
    cart = locked_cart(user_id)
    db.session.delete(_free_item(cart, item_id))
    cart.version += 1


def _item_of(cart: Cart, product_id: int) -> CartItem:
    """What is there of a product: perhaps nothing yet."""
    item = db.session.scalar(sa.select(CartItem).where(free_items(cart), CartItem.product_id == product_id))
    return item or CartItem(cart_id=cart.id, product_id=product_id, quantity=0)


def _free_item(cart: Cart, item_id: int) -> CartItem:
    item = fetch_or_404(CartItem, item_id, cart_id=cart.id)
    if item.claim_reference is not None:
        raise claims.in_progress(db.session.get_one(Claim, item.claim_reference).order_id)
    return item


def _set_quantity(item: CartItem, product: Product, wanted: int) -> None:
    if wanted > product.stock:
        raise Conflict(
            f"You want {wanted} of {product.name}, and {product.stock} are available.",
            code="out_of_stock",
            available=product.stock,
            wanted=wanted,
        )
    if wanted + _claimed(item) > MOST_OF_ONE:
        raise Conflict(f"A cart holds at most {MOST_OF_ONE} of one product.", code="too_many")
    item.quantity, item.seen_price, item.price_changed_at = wanted, product.price, None


def _claimed(item: CartItem) -> int:
    """How many of the same product orders are buying, which may come back."""
    same = CartItem.cart_id == item.cart_id, CartItem.product_id == item.product_id
    claimed = sa.select(sa.func.coalesce(sa.func.sum(CartItem.quantity), 0))
    with db.session.no_autoflush:  # the item itself may not have its quantity yet
        return db.session.scalars(claimed.where(*same, CartItem.claim_reference.is_not(None))).one()


def _priced(cart: Cart, contents: Sequence[sa.Row[Any]], known: Products) -> CartOut:
    items = [_shown(item, known[item.product_id]) for item in contents if item.claim_reference is None]
    claimed = [_shown_in_checkout(item, known[item.product_id]) for item in contents if item.claim_reference]
    newest = max((item.order_id for item in claimed), default=0)
    in_checkout = InCheckout(order_id=newest, items=claimed) if claimed else None
    return CartOut(id=cart.id, version=cart.version, items=items, in_checkout=in_checkout)


def _shown(item: Item, product: Product) -> ItemOut:
    return ItemOut(
        id=item.id,
        product_id=product.id,
        product_name=product.name,
        product_image=product.image_url,
        price=_price(item, product),
        quantity=item.quantity,
        problems=_problems(product, item),
    )


def _shown_in_checkout(item: sa.Row[Any], product: Product) -> ItemInCheckout:
    return ItemInCheckout(
        order_id=item.order_id,
        product_id=product.id,
        product_name=product.name,
        product_image=product.image_url,
        price=_price(item, product),
        quantity=item.quantity,
    )


def _price(item: Item, product: Product) -> int:
    """Today's; of what is no longer sold, what the buyer saw."""
    return product.price if product.is_sold or item.seen_price is None else item.seen_price


def _problems(product: Product, item: Item) -> list[LineProblem]:
    """What the buyer does not know yet."""
    if not product.is_sold:
        return [NoLongerSold(message=f"{product.name} is no longer sold; take it out.")]
    problems: list[LineProblem] = []
    if item.seen_price is not None and item.seen_price != product.price:
        message = f"The price of {product.name} has changed."
        problems.append(PriceChanged(message=message, seen_price=item.seen_price, since=item.price_changed_at))
    if product.stock == 0:
        problems.append(OutOfStock(message=f"{product.name} is out of stock.", since=item.sold_out_at))
    elif product.stock < item.quantity:
        message = f"You want {item.quantity} of {product.name}, and {product.stock} are available."
        problems.append(QuantityReduced(message=message, available=product.stock))
    return problems
