"""What goes in and out of the stock as JSON."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, RootModel

from catalogue.models import MOST_IN_STOCK
from models import CURRENCY
from shopkit.schemas import Amount, Id, Input, Output, Timestamp
from stock.models import REASON_LENGTH


def _not_zero(change: int) -> int:
    if change == 0:
        raise ValueError("must not be 0")
    return change


StockChange = Annotated[int, Field(strict=True, ge=-MOST_IN_STOCK, le=MOST_IN_STOCK), AfterValidator(_not_zero)]


class ReservationPath(BaseModel):
    reservation_id: UUID


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


class Movements(RootModel[list[MovementOut]]):
    pass
