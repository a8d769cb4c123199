"""What carts hear about the products in them: since when a price is another, and since when nothing is left.

What holds now is asked for whenever a cart is shown. Events may overtake each other: an older one changes nothing.
"""

import sqlalchemy as sa

from models import CartItem, db
from shopkit.events import Event
from shopkit.schemas import minor_units


def note_price(event: Event) -> None:
    """For those who saw another price."""
    since = CartItem.price_changed_at
    changing = sa.update(CartItem).where(
        CartItem.product_id == event.payload["product_id"],
        CartItem.seen_price != minor_units(event.payload["price"]),
        sa.or_(since.is_(None), since < event.occurred_at),
    )
    db.session.execute(changing.values(price_changed_at=event.occurred_at))


def note_stock(event: Event) -> None:
    sold_out, since = event.payload["stock"] == 0, CartItem.sold_out_at
    older = since < event.occurred_at
    changing = sa.update(CartItem).where(
        CartItem.product_id == event.payload["product_id"], sa.or_(since.is_(None), older) if sold_out else older
    )
    db.session.execute(changing.values(sold_out_at=event.occurred_at if sold_out else None))
