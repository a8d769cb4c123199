"""The products that people like best; it knows `catalogue`."""
