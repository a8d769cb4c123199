from flask_openapi3 import APIBlueprint, Tag

import shopping
from models import CartItem, db, hold_cart, take_out
from schemas import Bought, CartOut, ItemPath, NewItem, OwnerPath, QuantityChange
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.idempotency import idempotent
from shopkit.service import Answer

cart = APIBlueprint("cart", __name__, abp_tags=[Tag(name="cart")])


@cart.get("/cart", responses={200: CartOut})
def show() -> Answer:
    """Show one's cart at today's prices, and what has changed since one last changed it."""
    return shopping.look_at(current_user().id)


@cart.post("/cart/items", responses={201: CartOut})
@idempotent
def add(body: NewItem) -> Answer:
    """Put a product in the cart; it adds up with what is there."""
    return shopping.put_in(current_user().id, body.product_id, body.quantity), 201


@cart.put("/cart/items/<int:item_id>", responses={200: CartOut})
def change(path: ItemPath, body: QuantityChange) -> Answer:
    """Say how many of an item it shall be."""
    return shopping.set_quantity(current_user().id, path.item_id, body.quantity)


@cart.delete("/cart/items/<int:item_id>", responses={204: None})
def remove(path: ItemPath) -> Answer:
    """Take an item out of the cart."""
    hold_cart(current_user().id)
    db.session.delete(fetch_or_404(CartItem, path.item_id, user_id=current_user().id))
    db.session.commit()
    return "", 204


@cart.delete("/cart", responses={204: None})
def empty() -> Answer:
    """Take everything out of the cart."""
    take_out(current_user().id)
    db.session.commit()
    return "", 204


@cart.post("/internal/carts/<int:user_id>/bought", responses={204: None})
def take_out_what_was_bought(path: OwnerPath, body: Bought) -> Answer:
    """Take what was bought out of a cart; it can be repeated. Internal: the gateway does not route it."""
    take_out(path.user_id, body.product_ids)
    db.session.commit()
    return "", 204
