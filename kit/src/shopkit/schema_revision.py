"""Which revision a database's schema has, and which one this code needs: told without Alembic, which is large."""

from pathlib import Path

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

_REVISIONS = sa.table("alembic_version", sa.column("version_num"))


class SchemaOutdated(Exception):
    """The schema is missing, or older than this code needs."""


def migrations_of(app: Flask) -> Path:
    return Path(app.root_path) / "migrations"


def needed_by(app: Flask) -> str:
    """The revision of the newest migration, like "0007", by the name of its file; empty if there is none."""
    return max((file.name[:4] for file in migrations_of(app).glob("[0-9][0-9][0-9][0-9]_*.py")), default="")


def of(engine: sa.Engine) -> str:
    """The revision of a database; empty if it was never migrated."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(_REVISIONS.name):
            return ""
        return connection.scalar(sa.select(sa.func.max(_REVISIONS.c.version_num))) or ""


class SchemaCheck:
    """Is the schema new enough? Asks the database until it is, and never again: migrations are not undone meanwhile.

    A newer schema than this code knows is fine: during an update old and new instances work side by side.
    """

    def __init__(self, app: Flask, db: SQLAlchemy) -> None:
        self._needed, self._db, self._is_new_enough = needed_by(app), db, False

    def __call__(self) -> None:
        """:raise SchemaOutdated: it is missing or too old."""
        self._is_new_enough = self._is_new_enough or of(self._db.engine) >= self._needed
        if not self._is_new_enough:
            raise SchemaOutdated(f"the schema is older than revision {self._needed}")
