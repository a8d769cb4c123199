"""Telling others what products cost and how many are left."""

import sqlalchemy as sa

from models import CURRENCY, Product, db
from shopkit import events
from shopkit.schemas import amount

AT_ONCE = 500


def announce_price(product: Product, previous: int) -> None:
    if product.price == previous:
        return
    change = {"price": amount(product.price), "previous_price": amount(previous), "currency": CURRENCY}
    events.publish("product.price_changed", {"product_id": product.id, **change})


def announce_stock() -> None:
    """Job: tell of each product whose stock is not what was last told, so that a rush on one is not told one by one."""
    changed = sa.select(Product).where(Product.stock != Product.announced_stock).order_by(Product.id).limit(AT_ONCE)
    for product in db.session.scalars(changed.with_for_update(skip_locked=True)).all():
        events.publish("product.stock_changed", {"product_id": product.id, "stock": product.stock})
        product.announced_stock = product.stock
    db.session.commit()
