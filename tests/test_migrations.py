"""Each revision of each service's schema, with rows in every table: to the newest, which the models describe, and back.

A rule holds in all of them: an id that the database hands out is never handed out again.
"""

import zlib
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from secrets import token_bytes

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask_migrate import downgrade, upgrade
from sqlalchemy.dialects import sqlite

import shop_services
from shopkit import migrate

ROOT = Path(__file__).parents[1]
SERVICES = [each.name.removesuffix("-service") for each in shop_services.SERVICES]
REVISIONS = [
    (name, file.name[:4])
    for name in SERVICES
    for file in sorted((ROOT / f"services/{name}-service/migrations").glob("[0-9]*.py"))
]
ROWS = 3  # in every table
# What does not follow from a column's type: where a constraint wants more.
SPECIAL = {("products", "old_price"): lambda n: n + 100}
# What a later revision writes in another way, and comes back on the way back.
REWRITTEN = {("idempotency_keys", "body")}


class Service:
    """A service's app, whose context is open, on a database that begins empty."""

    def __init__(self, app, db):
        self.app, self.db = app, db
        self.is_sqlite = db.engine.dialect.name == "sqlite"
        migrate.init_app(app)

    def tables(self):
        metadata = sa.MetaData()
        metadata.reflect(self.db.engine)
        return {table.name: table for table in metadata.sorted_tables if table.name != "alembic_version"}

    def rows(self):
        """Of each table the rows by their primary keys."""
        tables = self.tables()
        with self.db.engine.connect() as connection:
            return {
                name: {
                    tuple(getattr(row, column.name) for column in table.primary_key): row._asdict()
                    for row in connection.execute(sa.select(table))
                }
                for name, table in tables.items()
            }

    def fill(self):
        tables = self.tables().values()
        with self.db.engine.begin() as connection:
            for table in tables:
                columns = [column for column in table.columns if column.computed is None]
                for n in range(1, ROWS + 1):
                    row = {c.name: SPECIAL.get((table.name, c.name), _value_for(c))(n) for c in columns}
                    connection.execute(sa.insert(table).values(row))
                if not self.is_sqlite:
                    _take_note_of_ids(connection, table)

    def schema_differences(self):
        with self.db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return compare_metadata(context, self.db.metadata)

    def ids_that_come_back(self):
        """Tables of SQLite whose ids are not handed out once, in the migrated schema."""
        with self.db.engine.connect() as connection:
            found = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
            ddl = {row.name: row.sql for row in found}
        return [table.name for table in _with_ids(self.db) if "AUTOINCREMENT" not in ddl[table.name]]


@pytest.fixture
def service(running_from, environment, each_database_uri, network):
    """Open a service: `with service("auth") as it: …`"""

    @contextmanager
    def service(name):
        with running_from(f"services/{name}-service"):
            settings = import_module("settings").Settings.from_env({**environment, "DATABASE_URI": each_database_uri})
            app, db = import_module("app").create_app(settings, network), import_module("models").db
            with app.app_context():
                try:
                    yield Service(app, db)
                finally:
                    db.engine.dispose()

    return service


def _value_for(column):
    """Makes a value for the nth row that this column takes; rows refer to those with the same number."""
    if column.foreign_keys:
        (reference,) = column.foreign_keys
        return _value_for(reference.column)
    kind, length = column.type, getattr(column.type, "length", None)
    if isinstance(kind, sa.Boolean):
        return lambda n: True
    if isinstance(kind, sa.Integer | sa.Numeric):
        return lambda n: n
    if isinstance(kind, sa.DateTime):
        return lambda n: datetime(2026, 1, n, 12, tzinfo=None if isinstance(kind, sqlite.DATETIME) else UTC)
    if isinstance(kind, sa.JSON):
        return lambda n: {"größe": [n, None]}
    if isinstance(kind, sa.LargeBinary):
        return lambda n: bytes([n, 0, 255])
    if isinstance(kind, sa.Uuid) or (isinstance(kind, sa.CHAR) and length == 32):
        return lambda n: f"{n:032x}"
    return lambda n: f"{n}é🛒 'größe'"[:length]


def _take_note_of_ids(connection, table):
    for column in table.primary_key:
        if column.server_default is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(sa.select(sa.func.setval(sequence, ROWS)))


def _with_ids(db):
    return [table for table in db.metadata.sorted_tables if table.autoincrement_column is not None]


def _lost(before, after, at_newest, *, rewritten=REWRITTEN):
    """What of the rows is not there any more, as far as its table and column are in the newest schema."""
    return [
        (table, key, column)
        for table, rows in before.items()
        if table in at_newest and table in after
        for key, row in rows.items()
        for column, value in row.items()
        if column in next(iter(at_newest[table].values())) and (table, column) not in rewritten
        if key not in after[table] or after[table][key][column] != value
    ]


@pytest.mark.parametrize(("name", "revision"), REVISIONS)
def test_a_database_that_holds_data_comes_to_the_newest_revision_and_back(service, name, revision):
    with service(name) as it:
        upgrade(revision=revision)
        it.fill()
        before = it.rows()
        assert all(len(rows) == ROWS for rows in before.values())

        upgrade()
        newest = it.rows()
        assert _lost(before, newest, newest) == []
        assert it.schema_differences() == []

        while _revision(it) != revision:
            downgrade(revision="-1")
        assert _lost(before, it.rows(), newest, rewritten=()) == []

        upgrade()
        assert _lost(before, it.rows(), newest) == []
        assert it.schema_differences() == []


def _revision(it):
    with it.db.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


@pytest.mark.parametrize("name", SERVICES)
def test_migrations_and_models_agree_and_can_be_undone(service, name):
    with service(name) as it:
        upgrade()
        assert it.schema_differences() == []

        downgrade(revision="base")
        assert it.tables() == {}


@pytest.mark.parametrize("name", SERVICES)
def test_no_id_is_ever_handed_out_again(service, name):
    """PostgreSQL's sequences go on by themselves."""
    with service(name) as it:
        upgrade()

        dialect = sqlite.dialect()
        made = {table.name: str(sa.schema.CreateTable(table).compile(dialect=dialect)) for table in _with_ids(it.db)}
        assert [name for name, ddl in made.items() if "AUTOINCREMENT" not in ddl] == []
        if it.is_sqlite:
            assert it.ids_that_come_back() == []


def test_a_cart_that_was_filled_before_there_were_claims_says_so(service):
    with service("cart") as it:
        upgrade(revision="0004")
        it.fill()

        upgrade()

        from claims import FILLED_BEFORE_CLAIMS

        assert [row["version"] for row in it.rows()["carts"].values()] == [FILLED_BEFORE_CLAIMS] * ROWS


@pytest.mark.parametrize("name", ["profile", "product", "customer-support"])
def test_answers_that_were_kept_are_repeated_after_the_migration_and_claims_are_forgotten(service, name):
    files = (ROOT / f"services/{name}-service/migrations").glob("*_keep_answers_with_their_keys.py")
    [revision] = [file.name[:4] for file in files]
    with service(name) as it:
        upgrade(revision=f"{int(revision) - 1:04}")
        keys = it.tables()["idempotency_keys"]
        noise = token_bytes(20_000)
        with it.db.engine.begin() as connection:
            for key, status, body in (("kept", 201, b'{"id": 1}'), ("large", 201, noise), ("claimed", None, None)):
                row = {
                    "id": key,
                    "fingerprint": key,
                    "locked_until": datetime(2026, 1, 1),  # noqa: DTZ001
                    "expires_at": datetime(2026, 1, 2),  # noqa: DTZ001
                    "status": status,
                    "headers": {} if status else sa.null(),
                    "body": body,
                }
                connection.execute(sa.insert(keys).values(row))

        upgrade(revision=revision)
        kept = {key: row["body"] for (key,), row in it.rows()["idempotency_keys"].items()}
        assert kept.keys() == {"kept", "large"}
        assert zlib.decompress(kept["kept"]) == b'{"id": 1}'
        assert kept["large"] is None
