"""The routes of the favorites."""

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from catalogue.models import Product
from catalogue.products import on_sale
from catalogue.schemas import ProductOut, ProductPath, Products
from favorites.models import Favorite
from favorites.schemas import NewFavorite
from models import db
from shopkit import quotas
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.errors import NotFound
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show

MOST = 1000

favorites = APIBlueprint("favorites", __name__, abp_tags=[Tag(name="favorites")])


@favorites.get("/favorites", responses={200: Products})
def list_favorites(query: Page) -> ViewResult:
    """List one's favorite products, newest first."""
    own = on_sale().join(Favorite).where(Favorite.user_id == current_user().id).order_by(Favorite.id.desc())
    return page_of(own, query, ProductOut)


@favorites.post("/favorites", responses={200: ProductOut, 201: ProductOut})
def add_favorite(body: NewFavorite) -> ViewResult:
    """Make a product one's favorite; 200 if it is already."""
    favorite = {"user_id": current_user().id, "product_id": body.product_id}
    quotas.hold(Favorite, favorite["user_id"])
    product = fetch_or_404(Product, body.product_id, archived_at=None)
    if db.session.scalar(sa.select(Favorite.id).filter_by(**favorite)) is not None:
        return ProductOut.model_validate(product)
    quotas.room_for_one_more(Favorite, favorite["user_id"], MOST)
    db.session.add(Favorite(**favorite))
    return commit_and_show(product, ProductOut), 201


@favorites.delete("/favorites/<int:product_id>", responses={204: None})
def remove_favorite(path: ProductPath) -> ViewResult:
    """Make a product no favorite any more."""
    own = sa.delete(Favorite).where(Favorite.user_id == current_user().id, Favorite.product_id == path.product_id)
    if db.session.scalar(own.returning(Favorite.id)) is None:
        raise NotFound(f"Product {path.product_id} is not among your favorites.")
    db.session.commit()
    return "", 204
