"""The routes of the reviews."""

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from catalogue.models import Product
from catalogue.products import locked_product
from catalogue.schemas import ProductPath
from reviews.models import Review
from reviews.schemas import NewReview, ReviewOut, Reviews
from reviews.writing import put_review
from shopkit.auth import current_user, public
from shopkit.database import fetch_or_404
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show

reviews = APIBlueprint("reviews", __name__, abp_tags=[Tag(name="reviews")])


@reviews.get("/products/<int:product_id>/reviews", responses={200: Reviews})
@public
def list_reviews(path: ProductPath, query: Page) -> ViewResult:
    """List what customers say of a product, newest first."""
    product = fetch_or_404(Product, path.product_id, archived_at=None)
    newest_first = sa.select(Review).filter_by(product_id=product.id).order_by(Review.id.desc())
    return page_of(newest_first, query, ReviewOut)


@reviews.post("/products/<int:product_id>/reviews", responses={200: ReviewOut, 201: ReviewOut})
def write_review(path: ProductPath, body: NewReview) -> ViewResult:
    """Review a product; a second review replaces the first (200)."""
    user = current_user()
    product = locked_product(path.product_id)
    review, is_new = put_review(product, user.id, user.username, body.rating, body.comment)
    return commit_and_show(review, ReviewOut), 201 if is_new else 200
