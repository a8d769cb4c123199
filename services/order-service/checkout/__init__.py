"""The way from a cart to an order that is paid and confirmed, or to one that failed and took nothing."""
