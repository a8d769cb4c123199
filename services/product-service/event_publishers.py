"""Telling others what products cost and how many are left."""

import sqlalchemy as sa

from models import CURRENCY, Product, db
from shop_events import ProductPriceChanged, ProductStockChanged
from shopkit import events

AT_ONCE = 500


def publish_price(product: Product, previous: int) -> None:
    if product.price == previous:
        return
    events.publish(
        ProductPriceChanged(product_id=product.id, price=product.price, previous_price=previous, currency=CURRENCY)
    )


def publish_stock() -> None:
    """Job: tell of each product whose stock is not what was last told, so that a rush on one is not told one by one."""
    changed = sa.select(Product).where(Product.stock != Product.announced_stock).order_by(Product.id).limit(AT_ONCE)
    for product in db.session.scalars(changed.with_for_update(skip_locked=True)).all():
        events.publish(ProductStockChanged(product_id=product.id, stock=product.stock))
        product.announced_stock = product.stock
    db.session.commit()
