import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import IntegrityError

from models import Favorite, Product, db
from schemas import NewFavorite, ProductOut, ProductPath, Products
from search import on_sale
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.errors import NotFound
from shopkit.paging import Page, page_of
from shopkit.service import Answer

favorites = APIBlueprint("favorites", __name__, abp_tags=[Tag(name="favorites")])


@favorites.get("/favorites", responses={200: Products})
def list_favorites(query: Page) -> Answer:
    """List one's favorite products, newest first."""
    own = on_sale().join(Favorite).where(Favorite.user_id == current_user().id).order_by(Favorite.id.desc())
    return page_of(own, query, ProductOut)


@favorites.post("/favorites", responses={200: ProductOut, 201: ProductOut})
def add_favorite(body: NewFavorite) -> Answer:
    """Make a product one's favorite; 200 if it is already."""
    product = fetch_or_404(Product, body.product_id, archived_at=None)
    answer = ProductOut.model_validate(product)
    db.session.add(Favorite(user_id=current_user().id, product_id=product.id))
    try:
        db.session.commit()
    except IntegrityError:  # it is one already
        return answer
    return answer, 201


@favorites.delete("/favorites/<int:product_id>", responses={204: None})
def remove_favorite(path: ProductPath) -> Answer:
    """Make a product no favorite any more."""
    own = sa.delete(Favorite).where(Favorite.user_id == current_user().id, Favorite.product_id == path.product_id)
    if db.session.scalar(own.returning(Favorite.id)) is None:
        raise NotFound(f"Product {path.product_id} is not among your favorites.")
    db.session.commit()
    return "", 204
