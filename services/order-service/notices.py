"""What this service tells the others about an order."""

from models import Order
from shopkit import events
from shopkit.schemas import amount


def announce(name: str, order: Order) -> None:
    """Publish an event about an order, in the transaction that makes it true."""
    items = [
        {"product_id": item.product_id, "quantity": item.quantity, "price": amount(item.price)} for item in order.items
    ]
    events.publish(
        name,
        {
            "order_id": order.id,
            "reference": str(order.reference),
            "user_id": order.user_id,
            "status": order.status,
            "total_amount": amount(order.total_amount),
            "currency": order.currency,
            "items": items,
        },
    )
