"""Claims: an order takes the lines that it buys out of the cart in one step, which no two orders can both do.

    claimed ──► ended by the confirmation of the order: the lines are gone
       └──────► ended by its failure: the lines are back

Each step is asked for by the order's reference, and may be repeated, in any order.
"""

import uuid

import sqlalchemy as sa

from models import Cart, CartItem, Claim, db, free_items, lock_cart, locked_cart
from schemas import MOST_OF_ONE
from shop_events import OrderConfirmed
from shopkit.database import insert_new, now
from shopkit.errors import Conflict, NotFound

FILLED_BEFORE_CLAIMS = -1  # the version that the migration gave to carts; the first change moves it on


def claim(reference: uuid.UUID, order_id: int, cart_id: int, version: int) -> bool:
    """Take all that is free out of this version of a cart, and say whether the claim is new.

    :raise NotFound: there is no such cart.
    :raise Conflict: the cart has changed, an order has all of it, or the claim has ended before it came.
    """
    cart = lock_cart(cart_id)
    if cart is None:
        raise NotFound(f"There is no cart {cart_id}.")
    moment = now()
    if not insert_new(Claim, reference=reference, cart_id=cart_id, order_id=order_id, created_at=moment):
        if _fetch(reference).ended_at is not None:
            raise Conflict("This claim has ended.", code="claim_ended")
        return False
    if cart.version != version:
        raise _changed(cart, reference)
    claimed = sa.update(CartItem).where(free_items(cart)).values(claim_reference=reference).returning(CartItem.id)
    if not db.session.scalars(claimed).all():
        raise _changed(cart, reference)
    cart.version += 1
    cart.changed_at = moment
    return True


def return_lines(reference: uuid.UUID) -> None:
    """Put what was claimed back in the cart; a claim that has not come yet will find that it has ended."""
    found = _begin_to_end(reference)
    if found is None:
        return
    claim, cart = found
    free = {item.product_id: item for item in db.session.scalars(sa.select(CartItem).where(free_items(cart)))}
    for item in db.session.scalars(sa.select(CartItem).filter_by(claim_reference=reference)).all():
        if same := free.get(item.product_id):
            same.quantity = min(same.quantity + item.quantity, MOST_OF_ONE)
            db.session.delete(item)
        else:
            item.claim_reference = None
    cart.version += 1
    claim.ended_at = now()


def end_claim(order: OrderConfirmed) -> None:
    """An order is confirmed: what it claimed is bought, and nothing else leaves the cart.

    The version stays: what can be ordered is what it was, and whoever orders it now must not hear that it has changed.
    """
    reference = order.reference
    never_came = db.session.get(Claim, reference) is None
    if found := _begin_to_end(reference):
        db.session.execute(sa.delete(CartItem).filter_by(claim_reference=reference))
        found[0].ended_at = now()
    elif never_came:
        _take_out_unclaimed(order)


def in_progress(order_id: int | None) -> Conflict:
    return Conflict(f"Order {order_id} is buying this.", code="checkout_in_progress", order_id=order_id)


def _changed(cart: Cart, reference: uuid.UUID) -> Conflict:
    """Why a cart is not what it was: an order has all of it, or has just bought it, or the buyer has changed it."""
    if db.session.scalar(sa.select(CartItem.id).where(free_items(cart)).limit(1)) is None:
        is_last_change = Claim.created_at == cart.changed_at
        others = sa.select(Claim).where(
            Claim.cart_id == cart.id, sa.or_(Claim.ended_at.is_(None), is_last_change), Claim.reference != reference
        )
        if other := db.session.scalar(others.order_by(Claim.order_id.desc()).limit(1)):
            return in_progress(other.order_id)
    return Conflict("The cart has changed; look at it again.", code="cart_changed")


def _take_out_unclaimed(order: OrderConfirmed) -> None:
    """For an order that was pending before there were claims: it bought of a cart that nobody has changed since."""
    cart = locked_cart(order.user_id)
    bought = {item.product_id: item.quantity for item in order.items}
    if cart.version != FILLED_BEFORE_CLAIMS:
        return
    for item in db.session.scalars(sa.select(CartItem).where(free_items(cart))).all():
        left = item.quantity - bought.get(item.product_id, 0)
        if left > 0:
            item.quantity = left
        else:
            db.session.delete(item)
    cart.version += 1


def _begin_to_end(reference: uuid.UUID) -> tuple[Claim, Cart] | None:
    """A claim and its cart, locked; None if it has ended, or never came and now never will."""
    moment = now()
    if insert_new(Claim, reference=reference, created_at=moment, ended_at=moment):
        return None
    cart = lock_cart(_fetch(reference).cart_id or 0)
    claim = _fetch(reference)  # as it is now that nobody else changes it
    return None if cart is None or claim.ended_at is not None else (claim, cart)


def _fetch(reference: uuid.UUID) -> Claim:
    return db.session.get_one(Claim, reference, populate_existing=True)
