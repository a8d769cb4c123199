"""What goes in and out of the product service as JSON."""

from decimal import Decimal
from itertools import chain, islice
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    RootModel,
    StringConstraints,
    WithJsonSchema,
)

from models import CATEGORY_LENGTH, COMMENT_LENGTH, CURRENCY, DESCRIPTION_LENGTH, NAME_LENGTH, REASON_LENGTH
from shopkit.paging import Page
from shopkit.schemas import (
    Amount,
    AmountIn,
    Edit,
    Id,
    Input,
    Output,
    OwnUrl,
    PublicUrl,
    QueryId,
    Timestamp,
    whole_units,
)

NO_PICTURE = "/images/parcel.svg"
MOST_IN_STOCK = 1_000_000
MOST_IDS = 100


def _numbers(texts: object) -> object:
    """One more than there may be already says that there are too many."""
    if not isinstance(texts, list):
        return texts
    each = chain.from_iterable(text.split(",", MOST_IDS) for text in texts)
    return list(islice(each, MOST_IDS + 1))


def _tenths(shown: object) -> int:
    tenths = whole_units(shown, decimals=1)
    if not 0 <= tenths <= 50:
        raise ValueError("must be a rating from 0 to 5")
    return tenths


def _not_nothing(change: int) -> int:
    if change == 0:
        raise ValueError("must not be 0")
    return change


Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]
Category = Annotated[str, Field(max_length=CATEGORY_LENGTH, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
# a path of the shop's own or an address; never a scheme that a browser would run
ImageUrl = Annotated[OwnUrl, Field(max_length=500, pattern=r"^(/[^/\\\s]|https?://)\S*$")]
Stock = Annotated[int, Field(strict=True, ge=0, le=MOST_IN_STOCK)]
StockChange = Annotated[int, Field(strict=True, ge=-MOST_IN_STOCK, le=MOST_IN_STOCK), AfterValidator(_not_nothing)]
Ids = Annotated[
    tuple[QueryId, ...],
    Field(max_length=MOST_IDS, description="`ids=3&ids=5`, or with commas."),
    BeforeValidator(_numbers),
]
Words = Annotated[str, Field(max_length=100)]
AnyCategory = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^\x00]*$")]
Rating = Annotated[
    int,
    PlainSerializer(lambda tenths: float(Decimal(tenths).scaleb(-1))),
    WithJsonSchema({"type": "number", "minimum": 1, "maximum": 5}),
]
"""An average going out: tenths here, a number with one decimal in JSON."""

RatingIn = Annotated[
    int,
    BeforeValidator(_tenths),
    WithJsonSchema({"type": "number", "multipleOf": 0.1, "minimum": 0, "maximum": 5}),
]


class ProductPath(BaseModel):
    product_id: int


class ProductHeaders(BaseModel):
    if_match: str | None = Field(None, alias="If-Match", description="The `ETag` of the copy that was looked at.")


class CategoryPath(BaseModel):
    category: AnyCategory


class PicturePath(BaseModel):
    file: str


class ReservationPath(BaseModel):
    reservation_id: UUID


class ProductQuery(Page):
    ids: Ids | None = None
    category: Annotated[AnyCategory, Field(max_length=CATEGORY_LENGTH)] = ""
    q: Words = ""
    min_price: AmountIn | None = None
    max_price: AmountIn | None = None
    in_stock: bool | None = None
    min_rating: RatingIn | None = None
    sort: Literal["newest", "price", "-price", "rating", "-rating", "name"] | None = None


class IdsQuery(Page):
    ids: Ids


class SearchQuery(Page):
    q: Annotated[Words, Field(min_length=1)]


class NewProduct(Input):
    name: Name
    description: Description
    price: AmountIn
    old_price: AmountIn | None = None
    category: Category
    stock: Stock
    image_url: ImageUrl = NO_PICTURE


class ProductOut(Output):
    id: int
    name: str
    description: str
    price: Amount
    old_price: Amount | None
    currency: str = CURRENCY
    stock: int
    image_url: PublicUrl
    category: str
    rating: Rating | None
    review_count: int


class KnownProduct(ProductOut):
    """A product as other services may still have to speak of it."""

    is_sold: bool


class ProductChange(Edit):
    """The defaults here only say that a field may be left out, and never count."""

    shown = ProductOut

    name: Name = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    price: AmountIn = Field(default_factory=int)
    old_price: AmountIn | None = None
    category: Category = Field(default_factory=str)
    stock: Stock = Field(default_factory=int)
    image_url: ImageUrl = Field(default_factory=str)

    @property
    def is_whole(self) -> bool:
        """Whether it is a form that was filled in from what the product was, and not a few fields."""
        return {"name", "description", "price", "category"} <= self.model_fields_set


class CategoryOut(Output):
    name: str
    product_count: int


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


class NewFavorite(Input):
    product_id: Id


class NewAdjustment(Input):
    change: StockChange
    reason: str = Field(min_length=1, max_length=REASON_LENGTH)


class MovementOut(Output):
    id: int
    product_id: int
    kind: str
    on_hand_change: int
    reserved_change: int
    reservation_id: str | None
    reason: str | None
    actor_id: int
    actor: str
    created_at: Timestamp


class ItemToReserve(Input):
    product_id: Id
    quantity: int = Field(strict=True, ge=1, le=1000)


class NewReservation(Input):
    reservation_id: UUID
    items: list[ItemToReserve] = Field(min_length=1, max_length=100)
    expires_in: int = Field(900, strict=True, ge=60, le=86_400)


class ReservedItem(Output):
    product_id: int
    product_name: str
    product_image: str
    unit_price: Amount
    quantity: int


class ReservationOut(Output):
    reservation_id: str = Field(validation_alias="id")
    status: str
    expires_at: Timestamp
    items: list[ReservedItem]
    currency: str = CURRENCY


class WrongProduct(Output):
    """A product whose columns are not what its movements and the reservations that are held say."""

    product_id: int
    on_hand: int
    reserved: int
    moved_on_hand: int
    moved_reserved: int
    held: int


class StockReconciliationOut(Output):
    products_wrong: list[WrongProduct]
    reservations: dict[str, int]


class Products(RootModel[list[ProductOut]]):
    pass


class KnownProducts(RootModel[list[KnownProduct]]):
    pass


class Categories(RootModel[list[CategoryOut]]):
    pass


class Reviews(RootModel[list[ReviewOut]]):
    pass


class Movements(RootModel[list[MovementOut]]):
    pass
