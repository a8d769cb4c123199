"""The database of the orders. Each package has its tables in a `models.py` of its own."""

from shopkit import events
from shopkit.database import new_database

db = new_database(durable=True)
events.keep_outbox(db)
