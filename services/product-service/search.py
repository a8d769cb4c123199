"""Finding products: what is sold, by its properties and by words, in an order."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy as sa

from models import Product
from schemas import ProductQuery
from shopkit.slots import Slots

# Searches that may look at every product: so many at once, and so many more that wait; THREADS has to be well above the
# sum, so that the pages that an index finds never wait for them.
searching = Slots(2, places=20)
_BY_ID = {None, "newest"}
_BY_INDEX = {*_BY_ID, "price", "-price"}

ORDERS: dict[str | None, sa.ColumnElement[Any]] = {
    None: Product.id.asc(),
    "newest": Product.id.desc(),
    "price": Product.price.asc(),
    "-price": Product.price.desc(),
    "rating": Product.rating.asc().nulls_last(),
    "-rating": Product.rating.desc().nulls_last(),
    "name": Product.search_text.asc(),  # begins with the name
}


def turn_for(wanted: ProductQuery) -> AbstractContextManager[None]:
    """The context in which to look for it: one's own turn, unless an index finds it."""
    filters = wanted.q, wanted.in_stock, wanted.min_rating, wanted.min_price, wanted.max_price
    is_filtered = any(each not in (None, "") for each in filters)
    is_sorted = wanted.sort not in (_BY_INDEX if not wanted.category else _BY_ID)
    return searching if wanted.ids is None and (is_filtered or is_sorted) else nullcontext()


def on_sale() -> sa.Select[tuple[Product]]:
    return sa.select(Product).where(Product.archived_at.is_(None))


def with_words(text: str) -> list[sa.ColumnElement[bool]]:
    """The product speaks of every word of the text, in whatever case."""
    return [Product.search_text.contains(word, autoescape=True) for word in text.casefold().split()]


def matching(wanted: ProductQuery) -> sa.Select[tuple[Product]]:
    conditions = with_words(wanted.q)
    if wanted.ids is not None:
        conditions.append(Product.id.in_(wanted.ids))
    if wanted.category:
        conditions.append(Product.category == wanted.category)
    if wanted.min_price is not None:
        conditions.append(Product.price >= wanted.min_price)
    if wanted.max_price is not None:
        conditions.append(Product.price <= wanted.max_price)
    if wanted.in_stock is not None:
        conditions.append((Product.stock > 0) == wanted.in_stock)
    if wanted.min_rating is not None:
        conditions.append(Product.rating >= wanted.min_rating)
    return on_sale().where(*conditions).order_by(ORDERS[wanted.sort], Product.id)
