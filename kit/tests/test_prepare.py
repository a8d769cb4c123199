import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from shopkit import logs, prepare, schema_revision
from shopkit.server import launcher
from shopkit.service import run
from shopkit.settings import SettingsError

APP = """
import os
from flask import Flask
from sqlalchemy.orm import Mapped, mapped_column
from shopkit import database
db = database.new_database()
class Thing(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
def create_app():
    app = Flask(__name__, root_path={root!r})
    app.config.update(SERVICE_NAME="thing-service", PORT=5999, MIGRATE_AT_START="MIGRATE_AT_START" not in os.environ)
    database.init_app(app, db, {uri!r})
    return app
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "0001", None, None, None
def upgrade():
    op.create_table("thing", sa.Column("id", sa.Integer(), primary_key=True))
def downgrade():
    op.drop_table("thing")
"""
SEED = """
import time
from app import Thing, db
from shopkit import seeding
def seed():
    if db.session.get(Thing, 1) is None:
        time.sleep(0.05)
        db.session.add(Thing(id=1))
        db.session.commit()
if __name__ == "__main__":
    seeding.main()
"""


@pytest.fixture
def service(tmp_path, monkeypatch, database_uri):
    """A service's folder, with a schema and something to fill it with."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "app.py").write_text(APP.format(root=str(tmp_path), uri=database_uri))
    (tmp_path / "migrations" / "0001_things.py").write_text(REVISION)
    (tmp_path / "seed.py").write_text(SEED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delenv("SEED_DEMO_DATA", raising=False)
    monkeypatch.setattr(logs, "set_up", lambda _: None)
    yield tmp_path
    for name in ("app", "seed"):
        sys.modules.pop(name, None)


def _things():
    app, db = sys.modules["app"].create_app(), sys.modules["app"].db
    with app.app_context():
        found = db.session.scalars(sa.select(sys.modules["app"].Thing.id)).all()
        db.engine.dispose()
    return found


def test_the_schema_is_migrated_and_no_data_made_unless_asked_for(service):
    prepare.main()

    assert _things() == []


def test_the_data_is_made_with_what_the_app_has_set_aside_for_it(service):
    (service / "seed.py").write_text(
        SEED.replace("seed()", "seed(number)").replace("Thing, 1", "Thing, number").replace("id=1", "id=number")
    )
    app = prepare.load_app()
    app.extensions["seed_with"] = [7]

    prepare.prepare(app, seed=True)

    assert _things() == [7]


def test_a_start_migrates_and_fills_unless_told_not_to(service, monkeypatch):
    monkeypatch.setenv("SEED_DEMO_DATA", "true")
    app = prepare.load_app()

    app.config["MIGRATE_AT_START"] = False
    prepare.at_start(app)
    with pytest.raises(sa.exc.DatabaseError):
        _things()

    app.config["MIGRATE_AT_START"] = True
    prepare.at_start(app)
    assert _things() == [1]


@pytest.mark.parametrize(("environment", "migrated"), [({}, True), ({"MIGRATE_AT_START": "false"}, False)])
def test_gunicorn_migrates_before_it_serves_unless_told_not_to(service, environment, migrated):
    code = "from shopkit.server import gunicorn_conf; gunicorn_conf.on_starting(None)"

    subprocess.run([sys.executable, "-c", code], cwd=service, env={**os.environ, **environment}, check=True)  # noqa: S603

    app = prepare.load_app()
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine
        assert sa.inspect(engine).has_table("thing") == migrated
        engine.dispose()


def test_python_app_py_migrates_before_it_serves(service, monkeypatch):
    served = []
    monkeypatch.setattr(Flask, "run", lambda *_, **__: served.append(_things()))
    monkeypatch.setattr(logging.getLogger("werkzeug"), "level", logging.NOTSET)

    run(prepare.load_app())

    assert served == [[]]


def test_a_schema_that_is_newer_stays_as_it_is_and_the_service_starts(service):
    prepare.main()
    app, db = sys.modules["app"].create_app(), sys.modules["app"].db
    with app.app_context():
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
        db.session.commit()

    prepare.at_start(app)

    with app.app_context():
        assert schema_revision.of(db.engine) == "0002"


def test_who_only_serves_does_not_load_alembic(service):
    prepare.main()
    code = "import sys; from shopkit import prepare, service; prepare.main(); print('alembic' in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], cwd=service, capture_output=True, text=True, check=True)  # noqa: S603

    assert run.stdout == "False\n"


def test_an_empty_database_is_filled_when_asked_for_and_only_once(service, monkeypatch):
    monkeypatch.setenv("SEED_DEMO_DATA", "true")

    prepare.main()
    prepare.main()

    assert _things() == [1]


@pytest.mark.parametrize(("command", "things"), [(["-m", "shopkit.prepare"], []), (["seed.py"], [1])])
def test_by_hand_one_says_whether_it_shall_be_filled(service, command, things):
    subprocess.run([sys.executable, *command], cwd=service, check=True)  # noqa: S603

    prepare.load_app()
    assert _things() == things


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "[::]", "shop.example.com"])  # noqa: S104
def test_accounts_with_known_passwords_are_not_made_for_everybody(service, monkeypatch, address):
    monkeypatch.setenv("GATEWAY_ADDRESS", address)
    monkeypatch.setenv("SEED_DEMO_DATA", "true")
    with pytest.raises(SettingsError, match="SEED_DEMO_DATA"):
        prepare.main()

    monkeypatch.setenv("SEED_DEMO_DATA", "false")
    prepare.main()

    assert _things() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "localhost"])
def test_on_this_machine_alone_they_may_be(service, monkeypatch, address):
    monkeypatch.setenv("GATEWAY_ADDRESS", address)
    monkeypatch.setenv("SEED_DEMO_DATA", "true")

    prepare.main()

    assert _things() == [1]


def test_instances_that_start_at_once_do_not_get_in_each_others_way(service):
    code = "from shopkit import prepare; prepare.main(seed=True)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=service, stderr=subprocess.PIPE)  # noqa: S603
        for _ in range(3)
    ]
    ends = [(process.communicate(timeout=60)[1], process.returncode)[1] for process in running]

    assert ends == [0, 0, 0]


def test_the_launcher_puts_services_of_one_kind_into_one_family():
    families = launcher.parse(["services/a=threads", "api-gateway=gevent", "services/b=threads"])

    assert families == {"threads": [Path("services/a"), Path("services/b")], "gevent": [Path("api-gateway")]}
