"""What goes in and out of the cart service as JSON; the sums of a cart are computed, never kept."""

from typing import Annotated, Literal

from pydantic import Field, computed_field

from shopkit.schemas import Amount, Id, Input, Output, Timestamp

CURRENCY = "USD"

Quantity = Annotated[int, Field(strict=True, ge=1, le=99)]


class NewItem(Input):
    product_id: Id
    quantity: Quantity = 1


class QuantityChange(Input):
    quantity: Quantity


class Bought(Input):
    product_ids: Annotated[list[Id], Field(max_length=100)]


class ItemPath(Output):
    item_id: int


class OwnerPath(Output):
    user_id: int


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


Problem = PriceChanged | OutOfStock | QuantityReduced


class ItemOut(Output):
    """So many of a product at today's price; changing the quantity, or adding to it, accepts that price."""

    id: int
    product_id: int
    product_name: str
    product_image: str | None
    price: Amount
    quantity: int
    problems: list[Problem]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def subtotal(self) -> Amount:
        return self.price * self.quantity


class CartOut(Output):
    """A person's cart; they have one, so its id is theirs.

    The total is over all that is wanted at today's prices, whether there is enough of it or not.
    """

    id: int
    items: list[ItemOut]
    currency: str = CURRENCY

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Amount:
        return sum(item.subtotal for item in self.items)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def has_problems(self) -> bool:
        return any(item.problems for item in self.items)
