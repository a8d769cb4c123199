"""The inbox: which events were handled, written with the effect of handling them, so that none acts twice."""

from collections.abc import Callable

import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from shopkit import retention
from shopkit.database import UtcDateTime, insert_new, now
from shopkit.errors import Invalid
from shopkit.events.catalogue import Event, complaint

TABLE = "inbox"

Handler = Callable[[Event], None]
"""Acts on an event, in a transaction that is committed for it; it calls no other service."""


def keep_inbox(db: SQLAlchemy) -> None:
    """Give a service that hears events its table."""
    table = sa.Table(
        TABLE,
        db.metadata,
        sa.Column("event_id", sa.String(36), primary_key=True),
        sa.Column("handler", sa.String(60), primary_key=True),
        sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    )
    retention.goes(table.c.received_at, "keep_handled_days")


def receive(event: Event) -> None:
    """Act on an event, unless that was done before, and commit.

    :raise Invalid: it is none that this service hears, or not what its schema says.
    """
    handler: Handler | None = current_app.extensions["event_handlers"].get(event.name)
    if problem := complaint(event.name, event.payload):
        raise Invalid(problem)
    if handler is None:
        raise Invalid(f"The {current_app.config['SERVICE_NAME']} does not hear {event.name}.")
    session = _db().session
    entry = {"event_id": str(event.id), "handler": handler.__name__, "received_at": now()}
    if insert_new(_db().metadata.tables[TABLE], **entry):
        handler(event)
    session.commit()


def receive_in(app: Flask, event: Event) -> None:
    """For who has no request: each event has a session of its own."""
    with app.app_context():
        receive(event)


def _db() -> SQLAlchemy:
    db: SQLAlchemy = current_app.extensions["sqlalchemy"]
    return db
