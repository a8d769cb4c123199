"""How much one user, and one address, may ask of the shop."""
