"""What carts learn from events: since when a price is another, since when nothing is left, and what was bought.

What a product costs now is asked for whenever a cart is shown. Events may overtake each other: an older one is ignored.
"""

from typing import Any

import sqlalchemy as sa

import claims
from models import CartItem, db
from shop_events import OrderConfirmed, ProductPriceChanged, ProductStockChanged
from shopkit.events import Subscription


def note_price(event: ProductPriceChanged) -> None:
    """For those who saw another price."""
    since = CartItem.price_changed_at
    changing = sa.update(CartItem).where(
        CartItem.product_id == event.product_id,
        CartItem.seen_price != event.price,
        sa.or_(since.is_(None), since < event.occurred_at),
    )
    db.session.execute(changing.values(price_changed_at=event.occurred_at))


def note_stock(event: ProductStockChanged) -> None:
    sold_out, since = event.stock == 0, CartItem.sold_out_at
    older = since < event.occurred_at
    changing = sa.update(CartItem).where(
        CartItem.product_id == event.product_id, sa.or_(since.is_(None), older) if sold_out else older
    )
    db.session.execute(changing.values(sold_out_at=event.occurred_at if sold_out else None))


SUBSCRIPTIONS: list[Subscription[Any]] = [
    Subscription("note_price", note_price, [ProductPriceChanged]),
    Subscription("note_stock", note_stock, [ProductStockChanged]),
    Subscription("end_claim", claims.end_claim, [OrderConfirmed]),
]
