"""The schema that migrations make is the schema that the models describe."""

from importlib import import_module

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask_migrate import downgrade

from shopkit import migrate


@pytest.mark.parametrize("name", ["auth", "profile", "product", "cart", "order", "customer-support"])
def test_migrations_and_models_agree_and_can_be_undone(name, running_from, environment, database_uri, network):
    with running_from(f"services/{name}-service"):
        settings = import_module("settings").Settings.from_env({**environment, "DATABASE_URI": database_uri})
        app, db = import_module("app").create_app(settings, network), import_module("models").db
        with app.app_context():
            migrate.to_newest(app)
            with db.engine.connect() as connection:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                assert compare_metadata(context, db.metadata) == []
            downgrade(revision="base")
            assert set(sa.inspect(db.engine).get_table_names()) <= {"alembic_version"}
            db.engine.dispose()
