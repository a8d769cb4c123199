"""The events of this shop: what each tells, who publishes it, and who handles it.

Their JSON Schemas, for readers and for other languages, stand in `docs/events/`; `make schemas` writes them anew.
"""

import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shopkit.events import Event
from shopkit.events.types import EventAmount, EventId

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]

AUTH, PROFILE, PRODUCT = "auth-service", "profile-service", "product-service"
CART, ORDER, SUPPORT = "cart-service", "order-service", "customer-support-service"


class UserRegistered(Event, name="user.registered", publisher=AUTH, subscribers={PROFILE}):
    """Somebody has opened an account."""

    user_id: EventId
    username: Annotated[str, Field(min_length=1, max_length=50)]


class SessionEnded(Event, name="session.ended", publisher=AUTH, subscribers={SUPPORT}):
    """None of the tokens of one login holds any longer: somebody has signed out, or a refresh token came twice."""

    session_id: Annotated[str, Field(min_length=1, max_length=36)]
    user_id: EventId


class AccountChanged(Event, name="account.changed", publisher=AUTH, subscribers={SUPPORT}):
    """Somebody has another role or another password."""

    user_id: EventId


class ProductPriceChanged(Event, name="product.price_changed", publisher=PRODUCT, subscribers={CART}):
    """A product costs something else from now on."""

    product_id: EventId
    price: EventAmount
    previous_price: EventAmount
    currency: Currency


class ProductStockChanged(Event, name="product.stock_changed", publisher=PRODUCT, subscribers={CART}):
    """Another number of a product can be bought than was last published; quick changes are published as one."""

    product_id: EventId
    stock: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]


class OrderItem(BaseModel):
    """So many of a product, and what one of them cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_id: EventId
    quantity: Count
    price: EventAmount


class OrderEvent(Event):
    """What every event about an order tells of it."""

    order_id: EventId
    reference: uuid.UUID
    user_id: EventId
    status: str
    total_amount: EventAmount
    currency: Currency
    items: Annotated[tuple[OrderItem, ...], Field(min_length=1)]


class OrderConfirmed(OrderEvent, name="order.confirmed", publisher=ORDER, subscribers={CART, PRODUCT, SUPPORT}):
    """An order is paid, and its goods are sold."""

    status: Literal["confirmed"] = "confirmed"


class OrderCancelled(OrderEvent, name="order.cancelled", publisher=ORDER, subscribers={PRODUCT, SUPPORT}):
    """An order that was confirmed has been cancelled; its payment goes back."""

    status: Literal["cancelled"] = "cancelled"


class OrderDelivered(OrderEvent, name="order.delivered", publisher=ORDER, subscribers={PRODUCT, SUPPORT}):
    """The goods of an order have arrived."""

    status: Literal["delivered"] = "delivered"
