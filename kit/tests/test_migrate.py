"""How a database is migrated, on a service as small as can be: one whose notes hang on shelves."""

import shutil

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_migrate import downgrade

from shopkit import database, migrate
from shopkit.schema_revision import migrations_of

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0001", None, None, None
def upgrade():
    op.create_table("shelves", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(9)))
    shelf = sa.ForeignKey("shelves.id", name="fk", ondelete="CASCADE")
    twice = sa.Column("twice", sa.Integer(), sa.Computed("2 * shelf_id", persisted=True))
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("shelf_id", sa.Integer(), shelf),
        twice,
        sa.PrimaryKeyConstraint("id", name="pk_notes"),
    )
    op.create_index("ix_notes", "notes", ["shelf_id"], unique=True, sqlite_where=sa.text("twice > 0"))
def downgrade():
    op.drop_table("notes")
    op.drop_table("shelves")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    with op.batch_alter_table("shelves") as batch_op:
        batch_op.alter_column("name", existing_type=sa.String(9), type_=sa.String(20))
    {then}
def downgrade():
    with op.batch_alter_table("shelves") as batch_op:
        batch_op.alter_column("name", existing_type=sa.String(20), type_=sa.String(9))
"""


@pytest.fixture
def database_uri(each_database_uri):
    return each_database_uri


@pytest.fixture
def service(tmp_path, database_uri):
    """Make an app with a database and a folder of revisions, whose context is open."""
    contexts = []

    def service(folder="service", uri=database_uri):
        app = Flask("service", root_path=str(tmp_path / folder))
        database.init_app(app, database.new_database(), uri)
        (tmp_path / folder / "migrations").mkdir(parents=True)
        (tmp_path / folder / "migrations" / "0001_first.py").write_text(FIRST)
        contexts.append(app.app_context())
        contexts[-1].push()
        return app

    yield service
    for context in contexts:
        _db(context.app).engine.dispose()
        context.pop()


@pytest.fixture
def filled(service):
    """A service whose database was made earlier, with a note on a shelf."""
    app = service()
    migrate.to_newest(app)
    with _db(app).engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO shelves (name) VALUES ('top')"))
        connection.execute(sa.text("INSERT INTO notes (shelf_id) VALUES (1)"))
    return app


IDS = """
from alembic import op
from shopkit.migrate import never_reuse_ids, reuse_ids
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    never_reuse_ids("shelves", "notes")
def downgrade():
    reuse_ids("shelves", "notes")
"""
LATER = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "0003", "0002", None, None
def upgrade():
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table("shelves", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
def downgrade():
    upgrade()
"""


def _db(app):
    return app.extensions["sqlalchemy"]


def _second(app, then="pass"):
    (migrations_of(app) / "0002_second.py").write_text(SECOND.format(then=then))


def _state(app):
    with _db(app).engine.connect() as connection:
        columns = sa.inspect(connection).get_columns("shelves")
        return (
            connection.scalar(sa.text("SELECT version_num FROM alembic_version")),
            {column["name"]: str(column["type"]) for column in columns}["name"],
            connection.execute(sa.text("SELECT shelves.name FROM notes JOIN shelves ON shelf_id = shelves.id")).all(),
        )


def _foreign_keys_hold(app):
    with _db(app).engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.text("INSERT INTO notes (shelf_id) VALUES (99)"))


def test_a_table_that_others_refer_to_is_rebuilt_without_losing_them(filled):
    _second(filled)

    migrate.to_newest(filled)
    assert _state(filled) == ("0002", "VARCHAR(20)", [("top",)])
    _foreign_keys_hold(filled)

    downgrade(revision="0001")
    assert _state(filled) == ("0001", "VARCHAR(9)", [("top",)])
    _foreign_keys_hold(filled)


@pytest.mark.parametrize(
    ("then", "error"),
    [
        ("raise ZeroDivisionError", ZeroDivisionError),
        ("op.execute('INSERT INTO notes (shelf_id) VALUES (99)')", sa.exc.IntegrityError),
    ],
)
def test_a_migration_that_fails_or_breaks_a_reference_leaves_the_database_as_it_was(filled, then, error):
    before = _state(filled)
    _second(filled, then)

    with pytest.raises(error):
        migrate.to_newest(filled)

    assert _state(filled) == before
    _foreign_keys_hold(filled)


@pytest.mark.parametrize("folder", ["two words", 'it\'s "it"', "100%", "100%%(here)s", "a:b", "a;b,c", "ä#?&"])
def test_the_checkout_may_lie_anywhere(service, tmp_path, monkeypatch, folder):
    """The environment lies in the checkout too, in the kit."""
    shutil.copytree(migrate.ENVIRONMENT, tmp_path / folder / "kit")
    monkeypatch.setattr(migrate, "ENVIRONMENT", tmp_path / folder / "kit")
    app = service(f"{folder}/service")

    migrate.to_newest(app)

    with _db(app).engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"


def test_a_database_uri_may_contain_percent_signs(service, tmp_path):
    (tmp_path / "100%").mkdir()
    app = service(uri=f"sqlite:///{tmp_path}/100%/%(here)s.db")

    migrate.to_newest(app)

    assert (tmp_path / "100%" / "%(here)s.db").exists()


class TestIds:
    """`never_reuse_ids`: what was deleted gives its id to nobody."""

    @pytest.fixture
    def app(self, filled):
        self._revise(filled, "0002", IDS)
        return filled

    def _revise(self, app, number, revision):
        (migrations_of(app) / f"{number}_next.py").write_text(revision)
        migrate.to_newest(app)

    def _add_and_remove(self, app):
        with _db(app).engine.begin() as connection:
            added = connection.scalar(sa.text("INSERT INTO shelves (name) VALUES ('new') RETURNING id"))
            connection.execute(sa.text("DELETE FROM shelves WHERE name = 'new'"))
        return added

    def _schema(self, app):
        with _db(app).engine.connect() as connection:
            return connection.execute(sa.text("SELECT name, tbl_name, sql FROM sqlite_master ORDER BY name")).all()

    def test_ids_go_on_and_rows_stay(self, app):
        assert [self._add_and_remove(app) for _ in range(3)] == [2, 3, 4]
        assert _state(app)[2] == [("top",)]
        _foreign_keys_hold(app)

    def test_ids_go_on_after_later_migrations_there_and_back(self, app):
        self._add_and_remove(app)

        self._revise(app, "0003", LATER)
        assert self._add_and_remove(app) == 3

        downgrade(revision="0001")
        migrate.to_newest(app)
        assert self._add_and_remove(app) == 4

    def test_nothing_else_about_the_tables_changes(self, filled):
        if _db(filled).engine.dialect.name != "sqlite":
            pytest.skip("about SQLite")
        before = self._schema(filled)
        self._revise(filled, "0002", IDS)
        once = [row for row in self._schema(filled) if row.name != "sqlite_sequence"]

        assert [row.sql.count("(id AUTOINCREMENT)") for row in once if row.name in ("notes", "shelves")] == [1, 1]
        assert [self._plain(row) for row in once] == [self._plain(row) for row in before]

        downgrade(revision="0001")
        back = [row for row in self._schema(filled) if row.name != "sqlite_sequence"]
        assert [self._plain(row) for row in back] == [self._plain(row) for row in before]
        assert "AUTOINCREMENT" not in str(back)

    def _plain(self, row):
        sql = (row.sql or "").replace(" AUTOINCREMENT", "").replace('"', "")
        return row.name, row.tbl_name, sql


def test_a_revision_that_is_written_creates_tables_whose_ids_are_handed_out_once(service):
    app = service()

    class Thing(_db(app).Model):
        id = sa.Column(sa.Integer, primary_key=True)

    migrate.write_revision(app, "Create things")

    [written] = migrations_of(app).glob("0002_*.py")
    assert written.name == "0002_create_things.py"
    assert "sqlite_autoincrement=True" in written.read_text()
