import os
import resource
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from shopkit import database


@pytest.fixture
def sqlite(request):
    if request.config.getoption("--postgres"):
        pytest.skip("about SQLite")


def test_what_a_statement_was_about_is_in_no_error_and_so_in_no_log(app, notes_db):
    with app.app_context(), pytest.raises(sa.exc.SQLAlchemyError) as failed:
        notes_db.session.execute(sa.text("SELECT :card FROM nowhere"), {"card": "4242 4242"})

    assert "4242" not in str(failed.value)


def test_a_moment_comes_back_aware_and_in_utc(app, notes_db, note):
    east = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    with app.app_context():
        notes_db.session.add(note(user_id=1, text="x", created_at=east))
        notes_db.session.commit()
        notes_db.session.expire_all()
        kept = notes_db.session.scalars(sa.select(note)).one()

        assert kept.created_at == datetime(2026, 1, 1, 7, tzinfo=UTC)
        assert kept.created_at.tzinfo is UTC


def test_sqlite_follows_the_recipe(sqlite, app, notes_db):
    with app.app_context():
        values = [
            notes_db.session.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]

    assert values == ["wal", 1, database.BUSY_TIMEOUT_MS, 1]


def test_what_must_survive_a_power_cut_is_written_through(sqlite, tmp_path):
    db, app = database.new_database(durable=True), Flask("durable")
    database.init_app(app, db, f"sqlite:///{tmp_path}/durable.db")

    with app.app_context():
        assert db.session.scalar(sa.text("PRAGMA synchronous")) == 2
        db.engine.dispose()


def test_writers_who_read_first_lose_no_update(sqlite, app, notes_db, note):
    """Each reads a number and writes it plus one: with deferred transactions updates get lost or fail as locked."""
    with app.app_context():
        notes_db.session.add(note(id=1, user_id=1, text="0"))
        notes_db.session.commit()

    def add_one_25_times():
        for _ in range(25):
            with app.app_context():
                kept = notes_db.session.get(note, 1)
                kept.text = str(int(kept.text) + 1)
                notes_db.session.commit()

    threads = [threading.Thread(target=add_one_25_times) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with app.app_context():
        assert notes_db.session.get(note, 1).text == "100"


def test_who_has_waited_to_write_is_not_overtaken_by_who_comes_later(sqlite, app, notes_db, note):
    """SQLite asks for its lock at once, and then ever less often: the later one would mostly be lucky."""
    written = []

    def write(name):
        with app.app_context():
            notes_db.session.add(note(user_id=1, text=name))
            notes_db.session.commit()
        written.append(name)

    for _ in range(3):
        with app.app_context():
            notes_db.session.add(note(user_id=1, text="long"))
            notes_db.session.flush()
            early, late = (threading.Thread(target=write, args=(name,)) for name in ("early", "late"))
            early.start()
            time.sleep(0.55)  # just after it has asked
            late.start()
            time.sleep(0.02)
            notes_db.session.commit()
            early.join()
            late.join()

    assert written == ["early", "late"] * 3


def test_who_could_not_begin_to_write_keeps_nobody_else_from_it(sqlite, app, notes_db, note, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
    with app.app_context():
        file = notes_db.engine.url.database
        notes_db.engine.dispose()  # connections with the usual patience
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(sa.exc.OperationalError):
                notes_db.session.scalar(sa.select(note))
            notes_db.session.rollback()
        other.close()

        notes_db.session.add(note(user_id=1, text="x"))
        notes_db.session.commit()
        with notes_db.engine.connect() as connection:
            for _ in range(2):  # transactions of one connection
                connection.execute(sa.delete(note))
                connection.commit()


def test_who_waits_too_long_to_write_hears_that_the_database_is_busy(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
    db, app = database.new_database(), Flask("busy")
    database.init_app(app, db, f"sqlite:///{tmp_path}/busy.db")

    with app.app_context(), db.engine.connect() as writing, db.engine.connect() as waiting:
        writing.execute(sa.text("SELECT 1"))
        with pytest.raises(sa.exc.OperationalError):
            waiting.execute(sa.text("SELECT 1"))


@pytest.fixture
def ping(app, notes_db):
    def ping():
        with app.app_context():
            database.ping(notes_db)

    return ping


def test_a_database_that_can_be_written_is_well_and_nothing_is_left_beside_it(sqlite, ping, tmp_path):
    before = set(tmp_path.iterdir())

    ping()

    assert set(tmp_path.iterdir()) == before


def test_a_disk_that_takes_nothing_more_is_noticed(sqlite, ping):
    ping()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(database.CannotWrite, match="disk"):
            ping()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_database_that_may_only_be_read_is_noticed(sqlite, ping, monkeypatch):
    monkeypatch.setattr(database.os, "access", lambda file, mode: mode != os.W_OK)

    with pytest.raises(database.CannotWrite, match="read"):
        ping()


def test_a_file_that_is_no_database_any_more_is_noticed(sqlite, app, notes_db, ping):
    with app.app_context():
        file = notes_db.engine.url.database
        notes_db.engine.dispose()
    Path(file).write_bytes(b"x" * 100_000)

    with pytest.raises(sa.exc.DatabaseError):
        ping()


@pytest.mark.parametrize(
    ("setting", "fault"), [("default_transaction_read_only=on", "read"), ("temp_file_limit=0", "disk")]
)
def test_postgres_that_cannot_write_is_noticed(postgres_uri, setting, fault):
    db, app = database.new_database(), Flask("postgres")
    database.init_app(app, db, f"{postgres_uri}?options=-c{setting.replace('=', '%3D')}")

    with app.app_context():
        with pytest.raises(database.CannotWrite, match=fault):
            database.ping(db)
        db.engine.dispose()


def test_postgres_that_can_write_is_well(postgres_uri):
    db, app = database.new_database(), Flask("postgres")
    database.init_app(app, db, postgres_uri)

    with app.app_context():
        database.ping(db)
        db.engine.dispose()
