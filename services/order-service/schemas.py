"""What goes in and out of the order service as JSON."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    RootModel,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from models import CUSTOMER_ACTIONS, STAFF_ACTIONS, Order, OrderStatus, PaymentStatus
from shopkit.auth import current_user
from shopkit.paging import Page
from shopkit.schemas import (
    AMOUNT_SCHEMA,
    MAX_AMOUNT,
    Amount,
    Edit,
    Id,
    Input,
    Output,
    PublicUrl,
    Query,
    QueryId,
    Timestamp,
    minor_units,
)

LONGEST_LINE = 500
# the dearest cart there can be: a hundred products, 99 of each
MAX_TOTAL = 100 * 99 * MAX_AMOUNT
TotalIn = Annotated[int, BeforeValidator(minor_units), Field(ge=0, le=MAX_TOTAL), AMOUNT_SCHEMA]

Required = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Optional = Annotated[str | None, Field(max_length=200)]


Status = Annotated[OrderStatus, BeforeValidator(lambda sent: sent.strip().lower() if isinstance(sent, str) else sent)]


_OF_ADDRESS_BOOK = {"id", "label", "is_default"}


class ShippingAddress(Input):
    """An address, perhaps as the address book gave it."""

    id: Any = Field(None, exclude=True)
    label: Any = Field(None, exclude=True)
    is_default: Any = Field(None, exclude=True)
    recipient: Optional = None
    phone: Optional = None
    address_line1: Required = Field(validation_alias=AliasChoices("address_line1", "address"))
    address_line2: Optional = None
    city: Required
    state: Optional = None
    postal_code: Required = Field(validation_alias=AliasChoices("postal_code", "zip_code"))
    country: Required


def _in_one_line(sent: object, parse: ValidatorFunctionWrapHandler) -> ShippingAddress:
    """Take a whole address as one line of text, too, and what an order made of such a line."""
    if isinstance(sent, dict) and sent.keys() == ShippingAddress.model_fields.keys() - _OF_ADDRESS_BOOK:
        filled_in = [name for name, value in sent.items() if value]
        sent = sent["address_line1"] if filled_in == ["address_line1"] else sent
    if not isinstance(sent, str):
        address: ShippingAddress = parse(sent)
        return address
    line = sent.strip()
    if not 0 < len(line) <= LONGEST_LINE:
        raise ValueError(f"must have 1 to {LONGEST_LINE} characters")
    return ShippingAddress.model_construct(address_line1=line, city="", postal_code="", country="")


def _document_the_line(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string", "minLength": 1, "maxLength": LONGEST_LINE, "pattern": r"\S"})


class NewOrder(Input):
    """Without an address it goes to the default one of the address book."""

    payment_method_id: Id
    shipping_address: Annotated[ShippingAddress, WrapValidator(_in_one_line)] | None = Field(
        None, json_schema_extra=_document_the_line
    )
    address_id: Id | None = None
    # what the buyer saw; without it, what the cart said when its lines were last changed
    expected_total: TotalIn | None = None

    @model_validator(mode="after")
    def one_address(self) -> Self:
        if self.shipping_address is not None and self.address_id is not None:
            raise ValueError("send either a shipping_address or an address_id")
        return self


class OrderPath(Output):
    order_id: int


class OrderQuery(Page):
    status: Status | None = None
    user_id: QueryId | None = None


class ReconciliationQuery(Query):
    days: int = Field(30, ge=1, le=366)


class OrderItemOut(Output):
    product_id: int
    product_name: str
    product_image: PublicUrl | None
    price: Amount
    quantity: int
    subtotal: Amount


class OrderEventOut(Output):
    actor: str
    axis: str
    before: str
    after: str
    reason: str
    created_at: Timestamp


class PaymentOut(Output):
    payment_method_id: int
    brand: str
    last_four: str
    reference: str | None


class OrderOut(Output):
    id: int
    user_id: int
    status: OrderStatus
    payment_status: PaymentStatus
    items: list[OrderItemOut]
    total_amount: Amount
    currency: str
    shipping_address: dict[str, Any]
    payment: PaymentOut
    allowed_actions: list[str]
    history: list[OrderEventOut]
    created_at: Timestamp
    updated_at: Timestamp

    @model_validator(mode="before")
    @classmethod
    def for_whoever_asks(cls, order: Order) -> dict[str, Any]:
        actions = STAFF_ACTIONS if current_user().is_staff else CUSTOMER_ACTIONS
        names = set(cls.model_fields) - {"allowed_actions"}
        return {**{name: getattr(order, name) for name in names}, "allowed_actions": order.actions(actions)}


class StatusChange(Edit):
    shown = OrderOut

    status: Status


class ContradictionOut(Output):
    """An order and its charge that do not agree; of what is missing, nothing is said."""

    reference: UUID
    order_id: int | None = None
    status: str | None = None
    payment_status: str | None = None
    total_amount: Amount | None = None
    charged: Amount | None = None
    declined: str | None = None
    refunded: bool | None = None


class PaymentReconciliationOut(Output):
    since: Timestamp
    orders: int
    charges: int
    # orders that somebody still works on, of which nothing can be said yet
    in_progress: int
    contradictions: list[ContradictionOut]


class Orders(RootModel[list[OrderOut]]):
    pass
