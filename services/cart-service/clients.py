"""The product service, which knows what things are called, what they cost, and how many there are."""

from collections.abc import Collection
from typing import Annotated

from flask import current_app
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


Products = dict[int, Product]
_PRODUCTS = TypeAdapter(list[Product])


class ProductClient:
    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def products(self, ids: Collection[int]) -> Products:
        """Those of at most AT_ONCE products that exist, by their ids: one call for all of them, none for none."""
        if not ids:
            return {}
        answer = self._service.get("/products", ids=",".join(map(str, sorted(ids))), per_page=AT_ONCE)
        try:
            return {product.id: product for product in _PRODUCTS.validate_python(answer)}
        except ValidationError as error:
            raise UpstreamFailed("The product-service answered something that is no list of products.") from error


def products() -> ProductClient:
    client: ProductClient = current_app.extensions["products"]
    return client
