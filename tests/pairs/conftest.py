"""The shop of the pairs, on SQLite and on PostgreSQL."""

import os
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from pairs.market import Interruptible, Market

SERVICES = {
    5001: "auth-service",
    5002: "profile-service",
    5003: "product-service",
    5004: "cart-service",
    5005: "order-service",
    5006: "customer-support-service",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def market(request, tmp_path_factory, apps_on, rows_in, contradictions):
    """A shop on databases of this kind."""
    on = _sqlite_files(tmp_path_factory) if request.param == "sqlite" else _schemas(request)
    with on as uri_of, apps_on(uri_of) as make_app:
        wiring = Interruptible()
        wiring.apps = {port: make_app(f"services/{name}", wiring) for port, name in SERVICES.items()}
        yield Market(wiring, rows_in(dict(wiring.apps)), contradictions)


@contextmanager
def _sqlite_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    yield lambda name: f"sqlite:///{folder}/{name}.db"


@contextmanager
def _schemas(request):
    """A schema for each service; they are dropped in the end."""
    uri = request.getfixturevalue("postgres_uri")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    schemas = {name: f"market_{worker}_{name.replace('-', '_')}" for name in SERVICES.values()}

    def each(*statements):
        engine = sa.create_engine(uri)
        with engine.begin() as connection:
            for schema in schemas.values():
                for statement in statements:
                    connection.exec_driver_sql(f"{statement.format(schema)}")
        engine.dispose()

    each("DROP SCHEMA IF EXISTS {} CASCADE", "CREATE SCHEMA {}")
    yield lambda name: f"{uri}?options=-csearch_path%3D{schemas[name]}"
    each("DROP SCHEMA IF EXISTS {} CASCADE")
