"""Writing a review, and the rating of its product with it."""

import sqlalchemy as sa

from catalogue.models import Product
from models import db
from reviews.models import Review
from shopkit.database import now


def put_review(product: Product, user_id: int, username: str, rating: int, comment: str) -> tuple[Review, bool]:
    """Write a user's review of a locked product, in place of an earlier one, and say whether it is their first of it.

    The product's rating changes with it.
    """
    moment = now()
    review = db.session.scalar(sa.select(Review).filter_by(product_id=product.id, user_id=user_id))
    is_new = review is None
    if review is None:
        review = Review(product_id=product.id, user_id=user_id, rating=0, created_at=moment)
        db.session.add(review)
        product.review_count += 1
    product.rating_sum += rating - review.rating
    review.username, review.rating, review.comment, review.updated_at = username, rating, comment, moment
    return review, is_new
