"""What goes in and out of the catalogue as JSON."""

from decimal import Decimal
from itertools import chain, islice
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    RootModel,
    StringConstraints,
    WithJsonSchema,
)

from catalogue.models import CATEGORY_LENGTH, DESCRIPTION_LENGTH, MOST_IN_STOCK, NAME_LENGTH
from models import CURRENCY
from shopkit.paging import Page
from shopkit.schemas import (
    Amount,
    AmountIn,
    Edit,
    Input,
    Output,
    OwnUrl,
    PublicUrl,
    QueryId,
    whole_units,
)

NO_PICTURE = "/images/parcel.svg"
MOST_IDS = 100


def _numbers(texts: object) -> object:
    """Split the texts at commas, but make no more of them than it takes to see that there are too many."""
    if not isinstance(texts, list):
        return texts
    each = chain.from_iterable(text.split(",", MOST_IDS) for text in texts)
    return list(islice(each, MOST_IDS + 1))


def _tenths(shown: object) -> int:
    tenths = whole_units(shown, decimals=1)
    if not 0 <= tenths <= 50:
        raise ValueError("must be a rating from 0 to 5")
    return tenths


Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]
Category = Annotated[str, Field(max_length=CATEGORY_LENGTH, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
# a path of the shop's own or an address; never a scheme that a browser would run
ImageUrl = Annotated[OwnUrl, Field(max_length=500, pattern=r"^(/[^/\\\s]|https?://)\S*$")]
Stock = Annotated[int, Field(strict=True, ge=0, le=MOST_IN_STOCK)]
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
        """Whether it is a whole form, filled in from what the product was, rather than a few fields."""
        return {"name", "description", "price", "category"} <= self.model_fields_set


class CategoryOut(Output):
    name: str
    product_count: int


class Products(RootModel[list[ProductOut]]):
    pass


class KnownProducts(RootModel[list[KnownProduct]]):
    pass


class Categories(RootModel[list[CategoryOut]]):
    pass
