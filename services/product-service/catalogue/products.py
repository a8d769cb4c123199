"""Products as the whole service asks for them: those on sale, one of them locked, and a new one."""

from typing import Any

import sqlalchemy as sa

from catalogue.models import Product
from models import db
from shopkit.errors import NotFound


def on_sale() -> sa.Select[Product]:
    return sa.select(Product).where(Product.archived_at.is_(None))


def locked_product(product_id: int) -> Product:
    """A product on sale, which nobody else can change until the transaction ends.

    :raise NotFound: there is none.
    """
    product: Product | None = db.session.scalar(on_sale().where(Product.id == product_id).with_for_update())
    if product is None:
        raise NotFound(f"There is no product {product_id}.")
    return product


def new_product(**fields: Any) -> Product:
    """Add a product, of which none is in stock yet.

    :raise Invalid: the old price would not be above the price.
    """
    product = Product()
    product.change(**fields)
    db.session.add(product)
    db.session.flush()
    return product
