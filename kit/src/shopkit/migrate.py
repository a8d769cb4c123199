"""The schema of a service and its history, by Alembic; only who needs it imports this, for Alembic is large.

One environment serves all, in `migrations/` beside this module; a service's own `migrations/` holds its revisions.
`python -m shopkit.migrate "Create things"` writes the next revision from what the models of this folder have become.
"""

import re
import sys
from pathlib import Path
from typing import Any

import flask_migrate
import sqlalchemy as sa
from alembic import op
from flask import Flask

from shopkit.prepare import load_app
from shopkit.schema_revision import migrations_of, needed_by

ENVIRONMENT = Path(__file__).parent / "migrations"


def init_app(app: Flask) -> None:
    migrate = flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=_as_option(ENVIRONMENT))

    @migrate.configure
    def revisions_of_the_service(config: Any) -> Any:
        config.set_main_option("version_locations", _as_option(migrations_of(app)))
        config.set_main_option("path_separator", "newline")  # a colon may be part of a path
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        return config


def to_newest(app: Flask) -> None:
    """Bring the database of an app, whose context is open, to its newest revision."""
    init_app(app)
    flask_migrate.upgrade()


def never_reuse_ids(*tables: str) -> None:
    """For revisions: from now on no id of a deleted row is given again; PostgreSQL never did so."""
    for table in tables:
        _rebuild(table, r"PRIMARY KEY( \(\w+)?", r"\g<0> AUTOINCREMENT")


def reuse_ids(*tables: str) -> None:
    """For revisions: undo `never_reuse_ids`."""
    for table in tables:
        _rebuild(table, " AUTOINCREMENT", "")


def _rebuild(table: str, old: str, new: str) -> None:
    """Change the text that a table of SQLite was created with: Alembic's own way fails at generated columns."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    belonging = sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL")
    made = [tuple(row) for row in connection.execute(belonging, {"table": table})]
    [ddl] = [sql for kind, sql in made if kind == "table"]
    changed, places = re.subn(old, new, re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_rebuilt", ddl))
    if places != 1:
        raise ValueError(f"{table} has no primary key that can be changed so")
    found = connection.exec_driver_sql(f"PRAGMA table_xinfo({table})")
    columns = ", ".join(column.name for column in found if not column.hidden)  # generated ones are hidden
    for statement in (
        changed,
        f"INSERT INTO {table}_rebuilt ({columns}) SELECT {columns} FROM {table}",  # noqa: S608
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_rebuilt RENAME TO {table}",
        *(sql for kind, sql in made if kind != "table"),
    ):
        connection.exec_driver_sql(statement)


def write_revision(app: Flask, message: str) -> None:
    number = int(needed_by(app) or 0) + 1
    with app.app_context():
        to_newest(app)
        flask_migrate.revision(message=message, autogenerate=True, rev_id=f"{number:04}")


def _as_option(path: Path) -> str:
    """A path as Alembic's configuration takes it, where a percent sign means something."""
    return str(path).replace("%", "%%")


if __name__ == "__main__":
    write_revision(load_app(), sys.argv[1])
