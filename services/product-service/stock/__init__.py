"""How much there is of each product, why, and what is held for orders; it knows `catalogue`."""
