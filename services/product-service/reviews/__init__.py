"""What customers say of products, and who of them has bought what; it knows `catalogue`."""
