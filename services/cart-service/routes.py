from flask_openapi3 import APIBlueprint, Tag

from models import db, empty, locked_cart
from schemas import CartOut, ItemPath, NewItem, QuantityChange
from shopkit.auth import current_user
from shopkit.idempotency import idempotent
from shopkit.service import ViewResult
from shopping import Shopping, take_out


def cart(shopping: Shopping) -> APIBlueprint:
    api = APIBlueprint("cart", __name__, abp_tags=[Tag(name="cart")])

    @api.get("/cart", responses={200: CartOut})
    def show() -> ViewResult:
        """Show one's cart at today's prices, what has changed since one last changed it, and what orders are buying."""
        return shopping.look_at(current_user().id)

    @api.post("/cart/items", responses={201: CartOut})
    @idempotent
    def add(body: NewItem) -> ViewResult:
        """Put a product in the cart; it adds up with what is there."""
        return shopping.put_in(current_user().id, body.product_id, body.quantity), 201

    @api.put("/cart/items/<int:item_id>", responses={200: CartOut})
    def change(path: ItemPath, body: QuantityChange) -> ViewResult:
        """Say how many of an item it shall be; 0 takes it out."""
        changed = shopping.set_quantity(current_user().id, path.item_id, body)
        db.session.commit()
        return changed

    @api.delete("/cart/items/<int:item_id>", responses={204: None})
    def remove(path: ItemPath) -> ViewResult:
        """Take an item out of the cart."""
        take_out(current_user().id, path.item_id)
        db.session.commit()
        return "", 204

    @api.delete("/cart", responses={204: None})
    def remove_all() -> ViewResult:
        """Take everything out of the cart but what an order is buying."""
        empty(locked_cart(current_user().id))
        db.session.commit()
        return "", 204

    return api
