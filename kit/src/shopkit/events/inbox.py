"""The inbox: which events were handled, written with the effect of handling them, so that none acts twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from shopkit import retention
from shopkit.database import UtcDateTime, insert_new, now
from shopkit.errors import Invalid
from shopkit.events.types import Event, Message

TABLE = "inbox"

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Subscription(Generic[E]):
    """What a service does about some kinds of events.

    :param key: stored with what has been handled, so it must never change; the function may be renamed.
    :param handle: acts on an event, in a transaction that is committed for it; it calls no other service.
    """

    key: str
    handle: Callable[[E], None]
    kinds: Sequence[type[E]]


def by_event(subscriptions: Sequence[Subscription[Any]]) -> dict[str, tuple[type[Event], Subscription[Any]]]:
    """Each event that is handled, by its name."""
    return {kind.name: (kind, each) for each in subscriptions for kind in each.kinds}


def keep_inbox(db: SQLAlchemy) -> None:
    """Give a service that handles events its table."""
    table = sa.Table(
        TABLE,
        db.metadata,
        sa.Column("event_id", sa.String(36), primary_key=True),
        sa.Column("handler", sa.String(60), primary_key=True),
        sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    )
    retention.goes(table.c.received_at, "keep_handled_days")


def receive(message: Message) -> None:
    """Act on an event, unless that was done before, and commit.

    :raise Invalid: it is none that this service has subscribed to, or not what its class says.
    """
    if message.name not in current_app.extensions["event_subscriptions"]:
        raise Invalid(f"The {current_app.config['SERVICE_NAME']} has not subscribed to {message.name}.")
    kind, subscription = current_app.extensions["event_subscriptions"][message.name]
    event, session = kind.read(message), _db().session
    entry = {"event_id": str(event.id), "handler": subscription.key, "received_at": now()}
    if insert_new(_db().metadata.tables[TABLE], **entry):
        subscription.handle(event)
    session.commit()


def receive_in(app: Flask, message: Message) -> None:
    """For who has no request: each event has a session of its own."""
    with app.app_context():
        receive(message)


def _db() -> SQLAlchemy:
    db: SQLAlchemy = current_app.extensions["sqlalchemy"]
    return db
