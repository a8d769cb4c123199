"""What goes in and out of the cart service as JSON; the sums of a cart are computed, never kept."""

from typing import Annotated

from pydantic import Field, computed_field

from shopkit.schemas import Amount, Id, Input, Output

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


class ItemOut(Output):
    id: int
    product_id: int
    product_name: str
    product_image: str | None
    price: Amount
    quantity: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def subtotal(self) -> Amount:
        return self.price * self.quantity


class CartOut(Output):
    """A person's cart; they have one, so its id is theirs."""

    id: int
    items: list[ItemOut]
    currency: str = CURRENCY

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Amount:
        return sum(item.subtotal for item in self.items)
