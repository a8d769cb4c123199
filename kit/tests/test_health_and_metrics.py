import sys
from types import ModuleType

import pytest
import sqlalchemy as sa

from shopkit.database import new_database
from shopkit.service import create_service
from shopkit.settings import ServiceSettings


@pytest.fixture
def everybody_is_well(network):
    network.on("GET", "/health/live", {"status": "ok"})


def test_a_service_that_has_all_it_needs_is_ready(client, everybody_is_well):
    for path in ("/health", "/health/ready"):
        response = client.get(path)

        assert response.status_code == 200
        assert response.json["checks"] == {"partner-service": "ok", "database": "ok", "auth-service": "ok"}


def test_it_is_not_ready_without_a_service_it_needs_but_alive(client, network):
    network.down("GET", "/health/live")

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json["checks"] == {"partner-service": "UpstreamFailed", "auth-service": "UpstreamFailed"}
    assert client.get("/health/live").json == {"status": "ok", "service": "note-service"}


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/hunter2.db", "postgresql+psycopg://shop:hunter2@127.0.0.1:1/shop"])
def test_it_is_not_ready_without_its_database_and_keeps_the_address_to_itself(network, everybody_is_well, uri):
    app = create_service(
        __name__, "x", ServiceSettings(secret_key="s", database_uri=uri), apis=[], db=new_database(), adapter=network
    )

    response = app.test_client().get("/health/ready")

    assert (response.status_code, response.json["checks"]) == (503, {"database": "OperationalError"})
    assert "hunter2" not in response.text


class TestSchema:
    """Ready means that the schema is the one this code needs, or newer."""

    @pytest.fixture
    def database_uri(self, each_database_uri):
        return each_database_uri

    @pytest.fixture
    def app(self, tmp_path, monkeypatch, database_uri, network, everybody_is_well):
        """A service whose newest migration is the tenth, on an empty database."""
        (tmp_path / "migrations").mkdir()
        for name in ("0009_add_this.py", "0010_add_that.py", "9999-notes.txt"):
            (tmp_path / "migrations" / name).touch()
        monkeypatch.setitem(sys.modules, "x_service", module := ModuleType("x_service"))
        module.__file__ = str(tmp_path / "app.py")
        db, settings = new_database(), ServiceSettings(secret_key="s", database_uri=database_uri)
        app = create_service("x_service", "x", settings, apis=[], db=db, adapter=network)
        yield app
        with app.app_context():
            db.engine.dispose()

    @pytest.fixture
    def migrated_to(self, app):
        """Say which revision the database has."""

        def migrated_to(revision):
            with app.app_context(), app.extensions["sqlalchemy"].engine.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))")
                connection.exec_driver_sql("DELETE FROM alembic_version")
                if revision:
                    table = sa.table("alembic_version", sa.column("version_num"))
                    connection.execute(sa.insert(table).values(version_num=revision))

        return migrated_to

    @pytest.mark.parametrize("revision", [None, "", "0001", "0009"])
    def test_one_that_is_missing_or_too_old_is_not_enough(self, client, migrated_to, revision):
        if revision is not None:
            migrated_to(revision)

        response = client.get("/health/ready")

        assert (response.status_code, response.json["checks"]) == (503, {"database": "SchemaOutdated"})

    @pytest.mark.parametrize("revision", ["0010", "0011", "0100"])
    def test_the_one_that_is_needed_is_enough_and_so_is_a_newer_one(self, client, migrated_to, revision):
        migrated_to(revision)

        assert client.get("/health/ready").json["checks"]["database"] == "ok"

    def test_it_is_looked_at_until_it_is_new_enough_and_then_never_again(self, app, client, migrated_to):
        assert client.get("/health/ready").status_code == 503
        migrated_to("0010")
        assert client.get("/health/ready").status_code == 200
        with app.app_context():
            statements = []
            sa.event.listen(
                app.extensions["sqlalchemy"].engine, "before_cursor_execute", lambda *about: statements.append(about[2])
            )

        assert client.get("/health/ready").status_code == 200
        assert statements
        assert "alembic_version" not in "".join(statements)


def test_requests_are_counted_by_rule_not_by_path(client, alice):
    for number in range(3):
        client.get(f"/notes/{number}", headers=alice)

    text = client.get("/metrics").text

    assert 'http_requests_total{method="GET",rule="/notes/<int:note_id>",status="404"} 3.0' in text
    assert 'http_request_duration_seconds_count{method="GET",rule="/notes/<int:note_id>"} 3.0' in text


def test_nonsense_does_not_make_new_labels(client):
    client.get("/nowhere/at/all")
    client.open("/notes", method="NONSENSE")

    text = client.get("/metrics").text

    assert 'rule="unmatched"' in text
    assert "nowhere" not in text
    assert "NONSENSE" not in text


def test_with_several_workers_the_metrics_are_everybodys(tmp_path):
    import subprocess
    import sys

    code = """
import os
from flask import Flask
from shopkit import auth, logs, metrics
app = Flask("x"); logs.init_app(app); metrics.init_app(app)
client = app.test_client()
if os.fork() == 0:
    client.get("/metrics"); client.get("/metrics"); os._exit(0)
os.wait()
print(client.get("/metrics").text)
"""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)  # noqa: S603

    assert 'http_requests_total{method="GET",rule="/metrics",status="200"} 2.0' in run.stdout
