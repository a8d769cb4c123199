"""Booking: the stock of a product changes together with a movement that says why, and in no other way.

Nothing here commits, so that what belongs together stands or falls together.
"""

import sqlalchemy as sa

from catalogue.models import MOST_IN_STOCK, Product
from models import db
from shopkit.auth import SERVICE, User
from shopkit.errors import Conflict, Invalid
from stock.models import StockMovement

ADJUST, RESERVE, COMMIT, RELEASE, RESTOCK = "adjust", "reserve", "commit", "release", "restock"
THIS_SERVICE = User(id=0, username="product-service", email="", role=SERVICE)

_on_hand, _reserved = Product.on_hand + sa.bindparam("more_on_hand"), Product.reserved + sa.bindparam("more_reserved")
# Check and change are one statement: the last one is sold once. It returns the product as it then is; SQLAlchemy's own
# way to find that out would look at every product that was read before, which takes long for many.
_BOOKING = (
    sa.update(Product)
    .where(Product.id == sa.bindparam("product"), _on_hand >= _reserved)
    .values(on_hand=_on_hand, reserved=_reserved)
    .returning(Product)
    .execution_options(populate_existing=True, synchronize_session=False)
)


def set_stock(product: Product, stock: int, reason: str, by: User) -> None:
    """Let so many of a new or locked product be there to buy, whatever is reserved at that moment."""
    book(by, ADJUST, product.id, on_hand=stock - product.stock, reason=reason)


def change_stock(product: Product, change: int, reason: str, by: User) -> None:
    """Add to the stock of a locked product, or take away from it.

    :raise Conflict: so many are not there to be taken away.
    :raise Invalid: it would be more than there may be.
    """
    if product.stock + change < 0:
        raise Conflict(
            f"You want to take away {-change} of {product.name}, and {product.stock} are available.",
            code="out_of_stock",
            available=product.stock,
        )
    if product.stock + change > MOST_IN_STOCK:
        raise Invalid.field("change", f"there may be at most {MOST_IN_STOCK} in stock")
    book(by, ADJUST, product.id, on_hand=change, reason=reason)


def book(
    by: User,
    kind: str,
    product_id: int,
    *conditions: sa.ColumnElement[bool],
    on_hand: int = 0,
    reserved: int = 0,
    reservation_id: str | None = None,
    reason: str | None = None,
) -> Product | None:
    """Change the stock and write down why; do neither, and return None, if more would be reserved than is on hand.

    This alone changes the stock, so the movements of a product always add up to it.

    :param conditions: what else must be true of the product.
    """
    changes = {"product": product_id, "more_on_hand": on_hand, "more_reserved": reserved}
    product: Product | None = db.session.scalar(_BOOKING.where(*conditions), changes)
    if product is not None:
        movement = StockMovement(
            product_id=product_id,
            kind=kind,
            on_hand_change=on_hand,
            reserved_change=reserved,
            reservation_id=reservation_id,
            reason=reason,
            actor_id=by.id,
            actor=by.username,
        )
        db.session.add(movement)
    return product
