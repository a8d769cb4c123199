"""Make the database of the service in this folder ready: migrate it, and fill it for a demonstration if asked to.

`python -m shopkit.prepare` does so by hand; a start does it unless `MIGRATE_AT_START` is false. Several instances
may start at once: one of them prepares, the others wait.
"""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path

import sqlalchemy as sa
from flask import Flask

from shopkit import logs, schema_revision
from shopkit.private_files import keep_private
from shopkit.settings import SettingsError, server_setting

_LOCK = 0x5409  # any number, as long as every instance takes the same


def prepare(app: Flask, *, seed: bool) -> None:
    """Bring the schema to the newest revision; then run the service's `seed()`, which leaves a filled database be.

    A schema that is newer stays as it is: it belongs to a newer version of the service, which suits this one too.
    """
    with app.app_context():
        db = app.extensions["sqlalchemy"]
        with _one_at_a_time(db.engine):
            if schema_revision.of(db.engine) < schema_revision.needed_by(app):
                from shopkit import migrate  # here, because at most starts there is nothing to do

                migrate.to_newest(app)
            if seed:
                fill(app)
        db.engine.dispose()


def main(*, seed: bool | None = None) -> Flask:
    """Prepare what `app.py` in this folder makes, and return it; `SEED_DEMO_DATA` decides if `seed` does not."""
    app = load_app()
    prepare(app, seed=_is_for_demonstration() if seed is None else seed)
    return app


def at_start(app: Flask) -> None:
    """Prepare the database before requests come, if the app has one and `MIGRATE_AT_START` does not say otherwise."""
    if app.config.get("MIGRATE_AT_START"):
        prepare(app, seed=_is_for_demonstration())


def load_app() -> Flask:
    """Make the app of the service in this folder, and set up its log."""
    keep_private("instance")
    sys.path.insert(0, str(Path.cwd()))
    app: Flask = import_module("app").create_app()
    logs.set_up(app.config["SERVICE_NAME"])
    return app


def _is_for_demonstration() -> bool:
    if server_setting("SEED_DEMO_DATA", "false") != "true":
        return False
    if not _is_loopback(server_setting("GATEWAY_ADDRESS", "localhost")):
        raise SettingsError(
            "SEED_DEMO_DATA is true, and GATEWAY_ADDRESS lets others in: they would know the passwords of all "
            "accounts, the administrator's too. Set SEED_DEMO_DATA=false in every service's .env."
        )
    return True


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def fill(app: Flask) -> None:
    """Call the service's `seed()`, in the context of its app, with what `create_app` has set aside for it."""
    import_module("seed").seed(*app.extensions.get("seed_with", ()))


@contextmanager
def _one_at_a_time(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        yield


if __name__ == "__main__":
    main()
