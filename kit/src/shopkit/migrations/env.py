"""Alembic's environment for every service: migrates the database of the app that runs it, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from flask import current_app

from shopkit.database import UtcDateTime


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write our own type as what it is in the database, so that a revision never depends on today's code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


@contextmanager
def tables_may_be_rebuilt(connection: sa.Connection) -> Iterator[None]:
    """SQLite changes a table by dropping it for a new one, and with foreign keys on whatever refers to it objects."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")  # here, because within a transaction it does nothing
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def ids_given(connection: sa.Connection) -> dict[str, int]:
    """How far the ids of SQLite's tables have come, those of deleted rows included."""
    known = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
    if connection.dialect.name != "sqlite" or not connection.exec_driver_sql(known).all():
        return {}
    given = connection.exec_driver_sql("SELECT name, MAX(seq) FROM sqlite_sequence GROUP BY name")
    return {row[0]: row[1] for row in given}


def remember_ids(connection: sa.Connection, before: dict[str, int]) -> None:
    """A table that was rebuilt knows the ids of its present rows only; those of deleted ones must not come back."""
    after = ids_given(connection)
    for table, seq in before.items():
        connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        furthest = (table, max(seq, after.get(table, 0)))
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", furthest)


def refuse_broken_references(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            tables = ", ".join(sorted({f"{row.table} to {row.parent}" for row in broken}))
            raise sa.exc.IntegrityError("PRAGMA foreign_key_check", None, ValueError(f"broken references: {tables}"))


migrate = current_app.extensions["migrate"]

steps: list[Any] = []  # that were taken; at most starts there are none

with migrate.db.engine.connect() as connection, tables_may_be_rebuilt(connection):
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        transactional_ddl=True,
        render_item=render_item,
        on_version_apply=lambda **step: steps.append(step),
        **migrate.configure_args,
    )
    with context.begin_transaction():
        given = ids_given(connection)
        context.run_migrations()
        if steps:
            remember_ids(connection, given)
            refuse_broken_references(connection)
