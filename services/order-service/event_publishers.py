"""What this service publishes about an order."""

from orders.models import Order
from shop_events import OrderEvent, OrderItem
from shopkit import events


def publish(kind: type[OrderEvent], order: Order) -> None:
    """Publish an event about an order, in the transaction that makes it true.

    :raise ValidationError: the order's status does not fit the event.
    """
    items = [OrderItem(product_id=item.product_id, quantity=item.quantity, price=item.price) for item in order.items]
    events.publish(
        kind(
            order_id=order.id,
            reference=order.reference,
            user_id=order.user_id,
            status=order.status,
            total_amount=order.total_amount,
            currency=order.currency,
            items=tuple(items),
        )
    )
