"""The product service, which knows what things are called, what they cost, and how many there are."""

from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from shopkit.errors import UpstreamFailed
from shopkit.http_client import ServiceClient
from shopkit.schemas import AmountIn, Id

AT_ONCE = 100


class Product(BaseModel):
    id: Id
    name: str
    image_url: str | None
    price: AmountIn
    stock: Annotated[int, Field(ge=0)]
    is_sold: bool = True


Products = dict[int, Product]
_PRODUCTS = TypeAdapter(list[Product])


class ProductClient:
    """:param for_us: the same service, called with our own token."""

    def __init__(self, for_caller: ServiceClient, for_us: ServiceClient) -> None:
        self._for_caller = for_caller
        self._for_us = for_us

    def with_ids(self, ids: Collection[int]) -> Products:
        """At most AT_ONCE products by their ids, those that are no longer sold included.

        What is sold is found by one call that needs no token to be checked; only for the rest is there another one.
        """
        found = self._ask(self._for_caller, "/products", ids)
        if withdrawn := set(ids) - found.keys():
            found |= self._ask(self._for_us, "/internal/products", withdrawn)
        return {each: found.get(each) or _unknown(each) for each in ids}

    def _ask(self, service: ServiceClient, path: str, ids: Collection[int]) -> Products:
        if not ids:
            return {}
        answer = service.get(path, ids=",".join(map(str, sorted(ids))), per_page=AT_ONCE)
        try:
            return {product.id: product for product in _PRODUCTS.validate_python(answer)}
        except ValidationError as error:
            raise UpstreamFailed("The product-service answered something that is no list of products.") from error


def _unknown(product_id: int) -> Product:
    """What even the product service knows nothing of."""
    return Product(id=product_id, name=f"Product {product_id}", image_url=None, price=0, stock=0, is_sold=False)
