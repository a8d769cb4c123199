"""What every service of the shop is made of, and nothing that a customer has a word for."""
