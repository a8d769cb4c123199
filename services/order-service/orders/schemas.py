"""What goes in and out at the routes of the orders."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, RootModel, model_validator

from orders.models import Order
from orders.states import CUSTOMER_ACTIONS, STAFF_ACTIONS, OrderStatus, PaymentStatus
from shopkit.auth import User
from shopkit.paging import Page
from shopkit.schemas import Amount, Edit, Output, PublicUrl, QueryId, Timestamp

Status = Annotated[OrderStatus, BeforeValidator(lambda sent: sent.strip().lower() if isinstance(sent, str) else sent)]


class OrderPath(Output):
    order_id: int


class OrderQuery(Page):
    status: Status | None = None
    user_id: QueryId | None = None


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
    actions: ClassVar[dict[str, OrderStatus]] = CUSTOMER_ACTIONS

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
    def _with_allowed_actions(cls, order: Order) -> dict[str, Any]:
        names = set(cls.model_fields) - {"allowed_actions"}
        return {**{name: getattr(order, name) for name in names}, "allowed_actions": order.possible(cls.actions)}


class OrderForStaff(OrderOut):
    """The same, with what staff may do."""

    actions = STAFF_ACTIONS


def order_for(viewer: User) -> type[OrderOut]:
    """How an order is shown to whoever looks at it."""
    return OrderForStaff if viewer.is_staff else OrderOut


class StatusChange(Edit):
    shown = OrderOut

    status: Status


class Orders(RootModel[list[OrderOut]]):
    pass
