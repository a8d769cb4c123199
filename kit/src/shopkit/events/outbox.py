"""The outbox: events as rows, written with the fact that they tell, and the relay that sends them on."""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from flask import current_app
from flask_sqlalchemy import SQLAlchemy

from shopkit import retention
from shopkit.database import UtcDateTime, now
from shopkit.errors import ShopError, UpstreamRefused
from shopkit.events.types import Event, Message
from shopkit.failpoints import reach

TABLE = "outbox"
AT_ONCE = 50
LEASE = timedelta(seconds=10)  # who is slower is overtaken, which the inbox makes harmless
MOST_ATTEMPTS = 10
LONGEST_DELAY_SECONDS = 60 * 60

Send = Callable[[str, Message], None]
"""Bring an event to a service. UpstreamRefused: it will never take it; any other ShopError: try again later."""

Transport = Callable[[], AbstractContextManager[Send]]

logger = logging.getLogger(__name__)


def keep_outbox(db: SQLAlchemy) -> None:
    """Give a service that publishes its table: a row for each event and each of its subscribers."""
    table = sa.Table(
        TABLE,
        db.metadata,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("target", sa.String(50), primary_key=True),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime, nullable=False),
        sa.Column("leased_until", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime, index=True),
        sa.Column("parked_at", UtcDateTime),
        sa.Column("last_error", sa.String(300)),
    )
    retention.goes(table.c.delivered_at, "keep_events_days")
    waiting = sa.text("delivered_at IS NULL AND parked_at IS NULL")
    sa.Index("ix_outbox_waiting", table.c.next_attempt_at, sqlite_where=waiting, postgresql_where=waiting)


def publish(event: Event) -> None:
    """Write an event down for every subscriber, in the transaction that is open.

    :raise ValueError: the event is another service's to publish.
    """
    if event.publisher != current_app.config["SERVICE_NAME"]:
        raise ValueError(f"It is for the {event.publisher} to publish {event.name}.")
    row = {
        "id": str(event.id),
        "name": event.name,
        "payload": event.payload(),
        "occurred_at": event.occurred_at,
        "next_attempt_at": event.occurred_at,
    }
    rows = [{**row, "target": target, "attempts": 0} for target in sorted(event.subscribers)]
    _db().session.execute(sa.insert(_table()), rows)


def relay(
    transport: Transport,
    clock: Callable[[], datetime] = now,
    spread: Callable[[float, float], float] = random.uniform,
) -> None:
    """Send all that is due; others may be at it too."""
    while _send_some(transport, clock, spread) == AT_ONCE:
        pass


def parked() -> Sequence[sa.Row[Any]]:
    """What failed too often, or was refused; the oldest first."""
    table = _table()
    rows = sa.select(table).where(table.c.parked_at.is_not(None)).order_by(table.c.occurred_at, table.c.target)
    return _db().session.execute(rows).all()


def redrive(event_id: str | None = None) -> int:
    """Take what is parked up again, of one event or all of it, commit, and say how many rows it was."""
    table = _table()
    which = [table.c.parked_at.is_not(None), *([table.c.id == event_id] if event_id else [])]
    afresh = {"parked_at": None, "attempts": 0, "next_attempt_at": now()}
    redriven = _db().session.execute(sa.update(table).where(*which).values(afresh))
    _db().session.commit()
    return cast(int, redriven.rowcount)  # type: ignore[attr-defined]


def _send_some(transport: Transport, clock: Callable[[], datetime], spread: Callable[[float, float], float]) -> int:
    """Claim some rows and send them, and say how many arrived.

    After a failure the other rows of the same target are put back: it is probably not their fault, so they must not
    lose an attempt, and nobody else shall wait for a target that does not answer. So are those for which so little
    of the lease is left that somebody else might claim them meanwhile.
    """
    rows = _claim(clock())
    if not rows:
        return 0
    arrived, away, half_time = 0, set(), clock() + LEASE / 2
    with transport() as send:
        for row in rows:
            if row.target in away or clock() > half_time:
                _note(row, leased_until=None)
                continue
            reach("relay.before_send")
            try:
                send(row.target, Message(id=row.id, name=row.name, occurred_at=row.occurred_at, payload=row.payload))
            except UpstreamRefused as error:
                _park(row, clock(), error)
            except ShopError as error:
                away.add(row.target)
                _postpone(row, clock(), spread, error)
            else:
                reach("relay.after_send")
                _note(row, attempts=row.attempts + 1, leased_until=None, delivered_at=clock())
                reach("relay.after_mark")
                arrived += 1
    return arrived


def _claim(moment: datetime) -> Sequence[sa.Row[Any]]:
    """Make some of what is due ours until the lease ends; whoever claims at the same moment gets other rows.

    A lease or a delay that ends later than one that began now was given before the clock was set back: it is over.
    """
    table, session = _table(), _db().session
    longest = sa.case({n: moment + _longest_delay(n) for n in range(MOST_ATTEMPTS)}, value=table.c.attempts)
    free = (
        table.c.delivered_at.is_(None),
        table.c.parked_at.is_(None),
        sa.or_(table.c.next_attempt_at <= moment, table.c.next_attempt_at > longest),
        sa.or_(table.c.leased_until.is_(None), table.c.leased_until <= moment, table.c.leased_until > moment + LEASE),
    )
    some = sa.select(table.c.id, table.c.target).where(*free).order_by(table.c.next_attempt_at).limit(AT_ONCE)
    keys = session.execute(some.with_for_update(skip_locked=True)).all()
    claimed: list[sa.Row[Any]] = []
    if keys:
        ours = sa.tuple_(table.c.id, table.c.target).in_([tuple(key) for key in keys])
        claiming = sa.update(table).where(ours, *free).values(leased_until=moment + LEASE).returning(table)
        claimed = sorted(session.execute(claiming), key=lambda row: row.occurred_at)
    session.commit()
    return claimed


def _postpone(row: sa.Row[Any], moment: datetime, spread: Callable[[float, float], float], error: ShopError) -> None:
    attempts = row.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        _park(row, moment, error)
        return
    delay = _longest_delay(attempts) * spread(0.5, 1)
    _note(row, attempts=attempts, next_attempt_at=moment + delay, leased_until=None, last_error=error.message[:300])


def _longest_delay(failures: int) -> timedelta:
    return timedelta(seconds=min(3 ** (failures - 1), LONGEST_DELAY_SECONDS) if failures else 0)


def _park(row: sa.Row[Any], moment: datetime, error: ShopError) -> None:
    logger.error("%s %s is parked, %s does not take it: %s", row.name, row.id, row.target, error.message)
    _note(row, attempts=row.attempts + 1, parked_at=moment, leased_until=None, last_error=error.message[:300])


def _note(row: sa.Row[Any], **values: Any) -> None:
    """Write down what became of a delivery, unless somebody who had it after us knows that it has arrived."""
    table = _table()
    this = (table.c.id == row.id, table.c.target == row.target, table.c.delivered_at.is_(None))
    _db().session.execute(sa.update(table).where(*this).values(values))
    _db().session.commit()


def _db() -> SQLAlchemy:
    db: SQLAlchemy = current_app.extensions["sqlalchemy"]
    return db


def _table() -> sa.Table:
    return _db().metadata.tables[TABLE]
