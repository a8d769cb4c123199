"""What can be bought: products with their categories, search and pictures; it knows no other package."""
