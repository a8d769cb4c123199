"""What goes in and out of the cart service as JSON; the sums of a cart are computed, never kept."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, computed_field

from shopkit.schemas import MAX_ID, Amount, Edit, Id, Input, Output, PublicUrl, Timestamp

CURRENCY = "USD"

MOST_OF_ONE = 99

Quantity = Annotated[int, Field(strict=True, ge=1, le=MOST_OF_ONE)]
QuantityOrNone = Annotated[int, Field(strict=True, ge=0, le=MOST_OF_ONE)]


class NewItem(Input):
    product_id: Id
    quantity: Quantity = 1


class NewClaim(Input):
    reference: UUID
    order_id: Id
    cart_id: Id
    version: Annotated[int, Field(ge=-1, le=MAX_ID)]


class ItemPath(Output):
    item_id: int


class ClaimPath(Output):
    reference: UUID


class NoLongerSold(Output):
    code: Literal["no_longer_sold"] = "no_longer_sold"
    message: str


class PriceChanged(Output):
    code: Literal["price_changed"] = "price_changed"
    message: str
    seen_price: Amount
    since: Timestamp | None  # not yet known for a moment


class OutOfStock(Output):
    code: Literal["out_of_stock"] = "out_of_stock"
    message: str
    since: Timestamp | None


class QuantityReduced(Output):
    code: Literal["quantity_reduced"] = "quantity_reduced"
    message: str
    available: int


LineProblem = NoLongerSold | PriceChanged | OutOfStock | QuantityReduced


class Line(Output):
    product_id: int
    product_name: str
    product_image: PublicUrl | None
    price: Amount
    quantity: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def subtotal(self) -> Amount:
        return self.price * self.quantity


class ItemOut(Line):
    """So many of a product at today's price; changing the quantity, or adding to it, accepts that price."""

    id: int
    problems: list[LineProblem]


class QuantityChange(Edit):
    """0 takes the item out."""

    shown = ItemOut

    quantity: QuantityOrNone


class ItemInCheckout(Line):
    order_id: int


class InCheckout(Output):
    """What orders are buying: it cannot be changed or ordered, and is gone or back when the order's outcome is known.

    `order_id` is the newest of those orders.
    """

    order_id: int
    items: list[ItemInCheckout]


class CartOut(Output):
    """A person's cart. The total is over all items at today's prices, whether there is enough of them or not."""

    id: int
    version: int
    items: list[ItemOut]
    in_checkout: InCheckout | None
    currency: str = CURRENCY

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Amount:
        return sum(item.subtotal for item in self.items)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def has_problems(self) -> bool:
        return any(item.problems for item in self.items)
