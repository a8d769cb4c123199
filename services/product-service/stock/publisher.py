"""The job that publishes how many of which products are left."""

import sqlalchemy as sa

from catalogue.models import Product
from models import db
from shop_events import ProductStockChanged
from shopkit import events

AT_ONCE = 500


def publish_stock() -> None:
    """Job: publish the stock of each product that is not as it was last published; a rush on one is one event."""
    changed = sa.select(Product).where(Product.stock != Product.announced_stock).order_by(Product.id).limit(AT_ONCE)
    for product in db.session.scalars(changed.with_for_update(skip_locked=True)).all():
        events.publish(ProductStockChanged(product_id=product.id, stock=product.stock))
        product.announced_stock = product.stock
    db.session.commit()
