"""How a database is migrated, on a service as small as can be: one whose notes hang on shelves."""

import shutil

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_migrate import downgrade

from shopkit import database, migrate

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0001", None, None, None
def upgrade():
    op.create_table("shelves", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(9)))
    shelf = sa.ForeignKey("shelves.id", name="fk", ondelete="CASCADE")
    op.create_table(
        "notes", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("shelf_id", sa.Integer(), shelf)
    )
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
        connection.execute(sa.text("INSERT INTO shelves VALUES (1, 'top')"))
        connection.execute(sa.text("INSERT INTO notes VALUES (1, 1)"))
    return app


def _db(app):
    return app.extensions["sqlalchemy"]


def _second(app, then="pass"):
    (migrate._revisions(app) / "0002_second.py").write_text(SECOND.format(then=then))


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
        connection.execute(sa.text("INSERT INTO notes VALUES (2, 99)"))


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
        ("op.execute('INSERT INTO notes VALUES (2, 99)')", sa.exc.IntegrityError),
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
