"""What other services learn at once of a product; of its stock, `stock/publisher.py` tells them every second."""

from models import CURRENCY
from shop_events import ProductPriceChanged
from shopkit import events


def publish_price(product_id: int, price: int, previous: int) -> None:
    """Publish what a product costs from now on, if that is another price."""
    if price != previous:
        changed = ProductPriceChanged(product_id=product_id, price=price, previous_price=previous, currency=CURRENCY)
        events.publish(changed)
