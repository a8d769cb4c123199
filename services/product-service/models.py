"""The database of the service, whose tables stand in its packages, and the currency of all amounts in it."""

from shopkit import events, idempotency
from shopkit.database import new_database

CURRENCY = "USD"

db = new_database(durable=True)
events.keep_outbox(db)
events.keep_inbox(db)
idempotency.keep_keys(db)
