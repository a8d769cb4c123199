"""What goes in and out of the order service as JSON."""

from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, RootModel, StringConstraints, model_validator

from models import CUSTOMER_ACTIONS, STAFF_ACTIONS, Order, OrderStatus, PaymentStatus
from shopkit.auth import current_user
from shopkit.paging import Page
from shopkit.schemas import Amount, AmountIn, Id, Input, Output, QueryId, Timestamp

Required = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Optional = Annotated[str | None, Field(max_length=200)]


class ShippingAddress(Input):
    recipient: Optional = None
    phone: Optional = None
    address_line1: Required = Field(validation_alias=AliasChoices("address_line1", "address"))
    address_line2: Optional = None
    city: Required
    state: Optional = None
    postal_code: Required = Field(validation_alias=AliasChoices("postal_code", "zip_code"))
    country: Required


class NewOrder(Input):
    payment_method_id: Id
    shipping_address: ShippingAddress | None = None
    address_id: Id | None = None
    # what the buyer saw; without it, what the cart said when its lines were last changed
    expected_total: AmountIn | None = None

    @model_validator(mode="after")
    def one_address(self) -> Self:
        if (self.shipping_address is None) == (self.address_id is None):
            raise ValueError("send either a shipping_address or an address_id")
        return self


class StatusChange(Input):
    status: OrderStatus


class OrderPath(Output):
    order_id: int


class OrderQuery(Page):
    status: OrderStatus | None = None
    user_id: QueryId | None = None


class OrderItemOut(Output):
    product_id: int
    product_name: str
    product_image: str | None
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


class Orders(RootModel[list[OrderOut]]):
    pass
