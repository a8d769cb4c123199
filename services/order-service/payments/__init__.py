"""Taking money and giving it back, through the provider that the shop has; it knows `orders`."""
