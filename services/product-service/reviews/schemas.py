"""What goes in and out of the reviews as JSON."""

from pydantic import AliasChoices, Field, RootModel

from reviews.models import COMMENT_LENGTH
from shopkit.schemas import Input, Output, Timestamp


class NewReview(Input):
    rating: int = Field(strict=True, ge=1, le=5)
    comment: str = Field("", max_length=COMMENT_LENGTH, validation_alias=AliasChoices("comment", "review_text"))


class ReviewOut(Output):
    id: int
    product_id: int
    user_id: int
    username: str
    rating: int
    comment: str
    verified_purchase: bool
    created_at: Timestamp
    updated_at: Timestamp


class Reviews(RootModel[list[ReviewOut]]):
    pass
