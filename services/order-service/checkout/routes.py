"""The route at which a cart becomes an order."""

from flask_openapi3 import APIBlueprint

from checkout.checkout import Checkout
from checkout.schemas import NewOrder
from orders.schemas import OrderOut, order_for
from shopkit.auth import current_user
from shopkit.idempotency import REPLAYED, takes_key
from shopkit.service import ViewResult


def add_check_out(api: APIBlueprint, checkout: Checkout) -> None:
    @api.post("/orders", responses={201: OrderOut})
    @takes_key
    def check_out(body: NewOrder) -> ViewResult:
        """Buy what is in the cart; with an Idempotency-Key a repeated request buys once."""
        buyer = current_user()
        order, is_replay = checkout.place_order(buyer, body)
        return order_for(buyer).model_validate(order), 201, {REPLAYED: "true"} if is_replay else {}
