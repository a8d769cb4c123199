"""What the gateway answers itself: how the shop is, and what it can do."""
