"""The order: its states, who works on it, and how it is listed, shown and moved on; it knows no other package."""
