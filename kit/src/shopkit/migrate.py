"""The schema of a service and its history, by Alembic; only who needs it imports this, for Alembic is large.

One environment serves all, in `migrations/` beside this module; a service's own `migrations/` holds its revisions.
`python -m shopkit.migrate "Create things"` writes the next revision from what the models of this folder have become.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask

from shopkit.private_files import keep_private

ENVIRONMENT = Path(__file__).parent / "migrations"


def init_app(app: Flask) -> None:
    migrate = flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=_as_option(ENVIRONMENT))

    @migrate.configure
    def revisions_of_the_service(config: Any) -> Any:
        config.set_main_option("version_locations", _as_option(_revisions(app)))
        config.set_main_option("path_separator", "newline")  # a colon may be part of a path
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        return config


def to_newest(app: Flask) -> None:
    """Bring the database of an app, whose context is open, to its newest revision."""
    init_app(app)
    flask_migrate.upgrade()


def write_revision(app: Flask, message: str) -> None:
    number = len(list(_revisions(app).glob("[0-9]*.py"))) + 1
    with app.app_context():
        to_newest(app)
        flask_migrate.revision(message=message, autogenerate=True, rev_id=f"{number:04}")


def _as_option(path: Path) -> str:
    """A path as Alembic's configuration takes it, where a percent sign means something."""
    return str(path).replace("%", "%%")


def _revisions(app: Flask) -> Path:
    return Path(app.root_path) / "migrations"


if __name__ == "__main__":
    keep_private("instance")
    sys.path.insert(0, os.curdir)
    write_revision(import_module("app").app, sys.argv[1])
