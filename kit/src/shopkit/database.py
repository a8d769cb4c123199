"""SQLAlchemy as every service uses it: SQLite with real transactions by default, PostgreSQL by `DATABASE_URI`.

SQLite's recipe: WAL, so that readers never wait for the writer; `BEGIN IMMEDIATE` for whatever may write, because a
transaction that reads first and writes later fails at once when somebody else wrote in between; foreign keys on.
Writers of a process wait in a queue: SQLite lets whoever asks most often go first, and the others ask ever less often.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shopkit import transactions
from shopkit.errors import NotFound
from shopkit.slots import Busy, Slots

BUSY_TIMEOUT_MS = 5000
_MOST_WRITERS = 1000  # that wait: as many as there are connections
_WRITES = "writes"
_PROBE_BYTES = 64 * 1024
_CONSTRAINT_NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

R = TypeVar("R")


def now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment, aware and in UTC on both databases; SQLite itself knows no time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Created:
    """Mixin: when the row came to be."""

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, sort_order=100)


def new_database(*, durable: bool = False) -> SQLAlchemy:
    """A database of one service's own: its tables are known to no other service's.

    :param durable: a commit survives a power cut too (`synchronous=FULL`), for where money or stock is written;
        otherwise it survives the end of the process only, and the database is never damaged.
    """

    class Base(DeclarativeBase):
        metadata = sa.MetaData(naming_convention=_CONSTRAINT_NAMES, info={"durable": durable})

    # A committed row stays as it was read: looking at it must not open another transaction behind our back.
    db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
    transactions.watch(db.session)
    return db


@event.listens_for(sa.Table, "after_parent_attach")
def _never_give_an_id_again(table: sa.Table, metadata: sa.MetaData) -> None:
    """SQLite would give the id of the newest row, once it is deleted, to the next one; PostgreSQL never does."""
    if "durable" in metadata.info and table.autoincrement_column is not None:
        table.dialect_kwargs["sqlite_autoincrement"] = True


def init_app(app: Flask, db: SQLAlchemy, uri: str) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = uri
    # Values of a failing statement, hashes and provider tokens among them, stay out of the log.
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"hide_parameters": True}
    if not uri.startswith("sqlite"):
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 3}}
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _make_sqlite_transactional(db.engine, durable=db.metadata.info["durable"])


def fetch_or_404(model: type[R], row_id: int, **conditions: Any) -> R:
    """The row with this id that meets the conditions (`user_id=…`).

    :raise NotFound: there is none; somebody else's is none.
    """
    session = current_app.extensions["sqlalchemy"].session
    row: R | None = session.scalar(sa.select(model).filter_by(id=row_id, **conditions))
    if row is None:
        raise NotFound(f"There is no {_in_words(model)} {row_id}.")
    return row


def _in_words(model: type[Any]) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in model.__name__).strip()


def one_at_a_time(what: str, whose: int) -> None:
    """Let nobody else who asks for the same go on until this transaction ends; SQLite has one writer anyway."""
    db = current_app.extensions["sqlalchemy"]
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(what), whose)))


def insert(table: sa.Table | type[Any]) -> Any:
    """An INSERT in this database's dialect, which knows `ON CONFLICT`."""
    dialects = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    return dialects[current_app.extensions["sqlalchemy"].engine.dialect.name](table)


def insert_new(table: sa.Table | type[Any], **values: Any) -> bool:
    """Insert a row unless one with its key is there, and say whether it was; nobody who tries at once fails."""
    session = current_app.extensions["sqlalchemy"].session
    inserting = insert(table).values(values).on_conflict_do_nothing().returning(sa.literal_column("1"))
    return session.scalar(inserting) is not None


class CannotWrite(Exception):
    """The database can be read, but what it should keep would be lost: its disk is full, or it may only be read."""


def ping(db: SQLAlchemy) -> None:
    """Ask the database whether it works and can be written, and leave no transaction open.

    Nothing of its own is written for that: it is seen whether a temporary file beside it could be.

    :raise CannotWrite: it cannot.
    """
    with db.engine.connect() as connection:
        if db.engine.dialect.name == "postgresql":
            _ping_postgres(connection)
            return
        connection.execute(sa.text("SELECT name FROM sqlite_schema LIMIT 1"))
        (_, _, file), *_ = connection.exec_driver_sql("PRAGMA database_list")
    if file:  # none in memory
        _ping_disk(Path(file))


def _ping_postgres(connection: sa.Connection) -> None:
    if connection.scalar(sa.text("SHOW transaction_read_only")) == "on":
        raise CannotWrite("the database may only be read")
    # Too much for so little memory, and so a temporary file where the tables are.
    connection.execute(sa.text("SET LOCAL work_mem = '64kB'"))
    try:
        connection.execute(sa.text("SELECT count(*) FROM generate_series(1, 5000)"))
    except OperationalError as error:
        raise CannotWrite("the disk does not take any more") from error


def _ping_disk(database: Path) -> None:
    if not os.access(database, os.W_OK):
        raise CannotWrite("the database may only be read")
    try:
        with TemporaryFile(dir=database.parent) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        raise CannotWrite("the disk does not take any more") from error


def set_pragmas(connection: Any, *, durable: bool) -> None:
    """The recipe, for a new connection to SQLite."""
    synchronous = "FULL" if durable else "NORMAL"
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _make_sqlite_transactional(engine: sa.Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # sqlite3 stops beginning transactions by itself; _begin does
        set_pragmas(connection, durable=durable)

    writing = Slots(1, _MOST_WRITERS, BUSY_TIMEOUT_MS / 1000)

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if not transactions.may_write():
            connection.exec_driver_sql("BEGIN")
            return
        if _WRITES not in connection.info:
            _take_turn(writing)
            connection.info[_WRITES] = True
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def _end(_: object, record: Any) -> None:
        if record.info.pop(_WRITES, False):
            writing.__exit__()


def _take_turn(writing: Slots) -> None:
    """:raise OperationalError: as SQLite says it when others write for too long."""
    try:
        writing.__enter__()
    except Busy as error:
        raise OperationalError("BEGIN IMMEDIATE", None, error) from None
