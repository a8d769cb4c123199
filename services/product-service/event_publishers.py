"""Events that are published with the change itself; `stock/publisher.py` publishes those about stock a moment later."""

from models import CURRENCY
from shop_events import ProductPriceChanged
from shopkit import events


def publish_price(product_id: int, price: int, previous: int) -> None:
    """Publish the price of a product, if it is another one now."""
    if price != previous:
        changed = ProductPriceChanged(product_id=product_id, price=price, previous_price=previous, currency=CURRENCY)
        events.publish(changed)
