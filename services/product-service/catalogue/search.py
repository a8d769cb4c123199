"""Finding products on sale: by their properties, by words, and in an order."""

from typing import Any

import sqlalchemy as sa

from catalogue.models import Product
from catalogue.products import on_sale
from catalogue.schemas import ProductQuery

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


def is_slow(query: ProductQuery) -> bool:
    """Whether no index finds what is wanted, so that every product may have to be looked at."""
    filters = query.q, query.in_stock, query.min_rating, query.min_price, query.max_price
    is_filtered = any(each not in (None, "") for each in filters)
    is_sorted = query.sort not in (_BY_ID if query.category else _BY_INDEX)
    return query.ids is None and (is_filtered or is_sorted)


def with_words(text: str) -> list[sa.ColumnElement[bool]]:
    """That name, description or category contains each word of the text, whatever its case.

    What stands in a longer word need not be looked for: each word is a look through all products.
    """
    words = set(text.casefold().split())
    longest = [each for each in words if not any(each in other for other in words - {each})]
    return [Product.search_text.contains(word, autoescape=True) for word in sorted(longest)]


def matching(query: ProductQuery) -> sa.Select[Product]:
    conditions = with_words(query.q)
    if query.ids is not None:
        conditions.append(Product.id.in_(query.ids))
    if query.category:
        conditions.append(Product.category == query.category)
    if query.min_price is not None:
        conditions.append(Product.price >= query.min_price)
    if query.max_price is not None:
        conditions.append(Product.price <= query.max_price)
    if query.in_stock is not None:
        conditions.append((Product.stock > 0) == query.in_stock)
    if query.min_rating is not None:
        conditions.append(Product.rating >= query.min_rating)
    return on_sale().where(*conditions).order_by(ORDERS[query.sort], Product.id)
