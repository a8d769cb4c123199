"""The way from a cart to an order that is paid and confirmed, or that failed; it knows `orders` and `payments`."""
