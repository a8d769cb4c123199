"""Products as other services of the shop ask for them."""

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from catalogue.models import Product
from catalogue.schemas import IdsQuery, KnownProduct, KnownProducts
from shopkit.paging import page_of
from shopkit.service import ViewResult

internal = APIBlueprint("internal", __name__, abp_tags=[Tag(name="internal")])


@internal.get("/internal/products", responses={200: KnownProducts})
def list_known_products(query: IdsQuery) -> ViewResult:
    """List products by their ids, those that are no longer sold too. Internal: the gateway does not route it."""
    return page_of(sa.select(Product).where(Product.id.in_(query.ids)).order_by(Product.id), query, KnownProduct)
