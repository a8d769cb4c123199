"""The states of an order, of its goods and of its money, and which of them follows which."""

from enum import StrEnum


class OrderStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    NONE = "none"
    PAID = "paid"
    REFUNDED = "refunded"
    FAILED = "failed"


# Out of pending only the checkout leads, by what the payment provider answers; people move what is confirmed.
NEXT_STATUSES = {
    OrderStatus.PENDING: {OrderStatus.CONFIRMED, OrderStatus.FAILED},
    OrderStatus.CONFIRMED: {OrderStatus.PROCESSING, OrderStatus.CANCELLED},
    OrderStatus.PROCESSING: {OrderStatus.SHIPPED, OrderStatus.CANCELLED},
    OrderStatus.SHIPPED: {OrderStatus.DELIVERED},
    OrderStatus.DELIVERED: set(),
    OrderStatus.CANCELLED: set(),
    OrderStatus.FAILED: set(),
}
NEXT_PAYMENT_STATUSES = {
    PaymentStatus.NONE: {PaymentStatus.PAID, PaymentStatus.FAILED},
    PaymentStatus.PAID: {PaymentStatus.REFUNDED},
    PaymentStatus.REFUNDED: set(),
    PaymentStatus.FAILED: set(),
}
STAFF_ACTIONS = {
    "process": OrderStatus.PROCESSING,
    "ship": OrderStatus.SHIPPED,
    "deliver": OrderStatus.DELIVERED,
    "cancel": OrderStatus.CANCELLED,
}
CUSTOMER_ACTIONS = {"cancel": OrderStatus.CANCELLED}
