"""What browsers are told: whose pages may use the shop, and what they should refuse."""
