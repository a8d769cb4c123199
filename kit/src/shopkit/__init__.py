"""What every service of the shop is made of, and nothing that a customer has a word for."""

__version__ = "1.0.0"
