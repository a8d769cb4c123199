"""What a developer does all day, with real processes: one service alone, its logs, its shell, its schema."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300), pytest.mark.xdist_group("scripts")]

NEW_ROUTE = """

@accounts.get("/newest")
@public
def newest() -> ViewResult:
    return "true", 200
"""


@pytest.fixture(scope="module")
def checkout(new_checkout):
    return new_checkout()


def _get(checkout, name, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{checkout.ports[name]}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except OSError:
        return 0, None


@contextmanager
def _in_foreground(checkout, name):
    """`run_services.sh run`, ended as Ctrl-C in a terminal does it."""
    process = subprocess.Popen(  # noqa: S603
        [str(checkout.folder / "run_services.sh"), "run", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _nothing_runs(checkout):
    checkout.run("stop_all.sh")


def test_one_service_is_restarted_and_the_others_run_on(checkout):
    assert checkout.run("run_services.sh", "start", "auth-service", "profile-service").returncode == 0
    before = {name: checkout.pid(name) for name in ("auth-service", "profile-service")}

    restarted = checkout.run("run_services.sh", "restart", "profile-service")

    assert restarted.returncode == 0, restarted.stderr
    assert checkout.listening() == ["auth-service", "profile-service"]
    assert checkout.pid("auth-service") == before["auth-service"]
    assert checkout.pid("profile-service") != before["profile-service"]


def test_an_unknown_service_is_said_and_nothing_happens(checkout):
    for command in ("start", "restart", "run", "shell", "logs", "migrate"):
        refused = checkout.run("run_services.sh", command, "card-service")

        assert refused.returncode == 1, command
        assert "There is no card-service. There are: auth-service " in refused.stderr
    assert checkout.listening() == []


def test_a_service_in_the_foreground_is_begun_anew_when_its_code_changes(checkout, wait_until):
    checkout.run("run_services.sh", "start", "auth-service")
    code = checkout.folder / "services/auth-service/routes.py"
    complete = code.read_text()

    with _in_foreground(checkout, "auth-service"):
        wait_until(lambda: _get(checkout, "auth-service", "/health/live")[0] == 200)
        code.write_text(complete + NEW_ROUTE)
        try:
            wait_until(lambda: _get(checkout, "auth-service", "/newest") == (200, True))
        finally:
            code.write_text(complete)

    wait_until(lambda: checkout.listening() == [])


def test_migrating_brings_a_database_to_the_newest_schema_and_fills_in_nothing(checkout):
    database = checkout.folder / "services/cart-service/instance/cart.db"
    assert not database.exists()

    migrated = checkout.run("run_services.sh", "migrate", "cart-service")

    assert (migrated.returncode, migrated.stdout) == (0, "  cart-service has the newest schema\n"), migrated.stderr
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM cart_items").fetchone() == (0,)


def test_the_shell_has_the_app(checkout):
    shell = checkout.run(
        "run_services.sh", "shell", "cart-service", input="print('name', app.config['SERVICE_NAME'])\n"
    )

    assert shell.returncode == 0, shell.stderr
    assert "name cart-service" in shell.stdout


def test_logs_are_told_in_words_and_in_order(checkout):
    checkout.run("run_services.sh", "start", "auth-service", "profile-service")
    for name in ("auth-service", "profile-service", "auth-service"):
        _get(checkout, name, f"/nothing-of-{name}")

    told = checkout.run("run_services.sh", "logs").stdout.splitlines()

    times = [line[:23] for line in told]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", moment) for moment in times)
    assert times == sorted(times)
    asked = [line for line in told if "nothing-of" in line]
    assert [line.split()[3] for line in asked] == ["auth-service", "profile-service", "auth-service"]
    assert re.fullmatch(
        r".{23} INFO +auth-service +GET /nothing-of-auth-service 404 milliseconds=\S+ \[\w+\]", asked[0]
    )
    only = checkout.run("run_services.sh", "logs", "profile-service").stdout
    assert "nothing-of-profile" in only
    assert "nothing-of-auth" not in only
