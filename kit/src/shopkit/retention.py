"""Retention: of each table, why its rows stay or when they go; and the job that deletes these in small steps.

    models.py    retention.stays("they are the accounts", User)
                 retention.goes(StripeEvent.created_at, "keep_handled_days")

Every table has a rule, and a line in docs/operations.md; tests/test_retention.py asks for both.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from shopkit import background
from shopkit.database import now
from shopkit.settings import ServiceSettings

SWEEP_SECONDS = timedelta(minutes=10).total_seconds()
AT_ONCE = 500  # rows of a transaction
MOST_STEPS = 1000  # of a table and run
PAUSE_SECONDS = 0.05  # for those who wait for SQLite's only writer: they ask again within it

_RULES = "retention"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stays:
    """Rows that nothing but their owners or the shop's staff take away."""

    because: str


@dataclass(frozen=True)
class GoesWith:
    """Rows that go together with those which they refer to."""

    table: str


@dataclass(frozen=True)
class Goes:
    """Rows that go once their moment lies as far back as a setting of the service says; without one at that moment."""

    moment: Any
    setting: str | None
    only: Sequence[sa.ColumnElement[bool]]
    along: Sequence[Any]
    at_once: int


Rule = Stays | GoesWith | Goes


def stays(because: str, *tables: Any) -> None:
    """Keep what is in these tables (or models) for ever, or until its owner removes it."""
    for each in tables:
        table = getattr(each, "__table__", each)
        rules_in(table.metadata)[table.name] = Stays(because)


def goes(
    moment: Any,
    setting: str | None = None,
    *,
    only: Sequence[sa.ColumnElement[bool]] = (),
    along: Sequence[Any] = (),
    at_once: int = AT_ONCE,
) -> None:
    """Have the rows deleted whose moment lies far enough back.

    :param moment: a column of the table, which has an index.
    :param setting: the field of the service's settings that says how far.
    :param only: what else must hold.
    :param along: columns of other tables that refer to the rows; what does so goes first, in the same transaction.
    """
    table = _table_of(moment)
    rules = rules_in(table.metadata)
    rules[table.name] = Goes(moment, setting, only, along, at_once)
    for each in along:
        rules.setdefault(_table_of(each).name, GoesWith(table.name))


def rules_in(metadata: sa.MetaData) -> dict[str, Rule]:
    """By the tables' names."""
    rules: dict[str, Rule] = metadata.info.setdefault(_RULES, {})
    return rules


def init_app(app: Flask, db: SQLAlchemy, settings: ServiceSettings) -> None:
    rules = [rule for rule in rules_in(db.metadata).values() if isinstance(rule, Goes)]
    app.extensions["retention"] = [
        (rule, getattr(settings, rule.setting) if rule.setting else timedelta(0)) for rule in rules
    ]
    if rules:
        background.every(app, SWEEP_SECONDS, sweep)


def sweep(clock: Callable[[], datetime] = now, pause: Callable[[float], object] = time.sleep) -> None:
    """Job: delete what need not be kept any longer; others may be at it too."""
    for rule, kept in current_app.extensions["retention"]:
        try:
            _sweep(rule, clock() - kept, pause)
        except Exception:  # the other tables shall not grow meanwhile; this one's turn comes again
            _session().rollback()
            logger.exception("%s could not be swept", _table_of(rule.moment).name)


def _sweep(rule: Goes, before: datetime, pause: Callable[[float], object]) -> None:
    for _ in range(MOST_STEPS):
        if _delete_some(rule, before) < rule.at_once:
            return
        pause(PAUSE_SECONDS)
    logger.warning("%s grows faster than it is swept, or has much to catch up", _table_of(rule.moment).name)


def _delete_some(rule: Goes, before: datetime) -> int:
    """Delete the oldest, commit, and say how many rows went; what somebody else has locked is left to them."""
    session, table = _session(), _table_of(rule.moment)
    key = list(table.primary_key)
    old = sa.select(*key).where(rule.moment <= before, *rule.only).order_by(rule.moment).limit(rule.at_once)
    found = session.execute(old.with_for_update(skip_locked=True)).all()
    if found:
        for column in rule.along:
            referring = column.in_([row[0] for row in found])
            session.execute(sa.delete(_table_of(column)).where(referring))
        session.execute(sa.delete(table).where(sa.tuple_(*key).in_(found)))
    session.commit()
    return len(found)


def _table_of(column: Any) -> sa.Table:
    table: sa.Table = column.expression.table
    return table


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session
