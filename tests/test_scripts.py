"""The scripts, with real processes: a copy of this checkout on ports of its own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300), pytest.mark.xdist_group("scripts")]


@pytest.fixture(scope="module")
def checkout(new_checkout):
    return new_checkout()


@pytest.fixture
def open_shop(checkout):
    started = checkout.run("start_all.sh")
    assert started.returncode == 0, started.stdout + started.stderr
    return checkout


def test_a_seeded_shop_starts_and_passes_its_smoke_test_twice(open_shop):
    for _ in range(2):
        smoke = open_shop.smoke()

        assert smoke.returncode == 0, smoke.stdout
        assert "✗" not in smoke.stdout
        assert "\033" not in smoke.stdout


def test_starting_again_changes_nothing(open_shop):
    before = {name: open_shop.pid(name) for name in open_shop.NAMES}

    again = open_shop.run("start_all.sh")

    assert again.returncode == 0
    assert again.stdout.count("is running already") == len(open_shop.NAMES)
    assert {name: open_shop.pid(name) for name in open_shop.NAMES} == before


def test_only_what_is_not_running_is_started(open_shop):
    before = {name: open_shop.pid(name) for name in open_shop.NAMES}
    open_shop.kill("cart-service")

    started = open_shop.run("run_services.sh", "start")

    assert started.returncode == 0, started.stderr
    after = {name: open_shop.pid(name) for name in open_shop.NAMES}
    assert {name for name in open_shop.NAMES if before[name] != after[name]} == {"cart-service"}


def test_two_starts_at_once_start_everything_once(checkout):
    checkout.run("stop_all.sh")

    with ThreadPoolExecutor(2) as pool:
        starts = list(pool.map(lambda _: checkout.run("start_all.sh"), range(2)))

    assert [start.returncode for start in starts] == [0, 0], starts
    assert sorted(start.stdout.count("is running already") for start in starts) == [0, len(checkout.NAMES)]
    assert checkout.listening() == checkout.NAMES
    assert {name: len(_processes(checkout, name, "master")) for name in checkout.NAMES} == dict.fromkeys(
        checkout.NAMES, 1
    )


def test_a_start_that_was_broken_off_is_not_waited_for(checkout):
    lock = subprocess.Popen(  # noqa: S603
        ["bash", "-c", 'source "$0"; one_at_a_time; echo taken; sleep 60', checkout.folder / "services.sh"],  # noqa: S607
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with lock:
        assert lock.stdout.readline() == b"taken\n"
        os.killpg(lock.pid, signal.SIGKILL)

    assert checkout.run("make_env.sh").returncode == 0


def test_the_status_says_what_runs(open_shop):
    assert open_shop.run("run_services.sh", "status").stdout.count("is ready on port") == 6

    open_shop.run("run_services.sh", "stop")

    assert open_shop.run("run_services.sh", "status").stdout.count("is stopped") == 6
    assert open_shop.listening() == ["api-gateway"]


def test_the_smoke_test_fails_when_a_service_is_away(open_shop):
    open_shop.kill("product-service")

    smoke = open_shop.smoke()

    assert smoke.returncode == 1
    assert "✗ product: ready" in smoke.stdout
    open_shop.run("run_services.sh", "start")


def test_stopping_ends_everything_and_keeps_the_data(open_shop):
    stopped = open_shop.run("stop_all.sh")

    assert stopped.returncode == 0
    assert open_shop.listening() == []
    assert list((open_shop.folder / ".run").glob("*.pid")) == []
    assert (open_shop.folder / "services/auth-service/instance/auth.db").exists()
    assert open_shop.run("stop_all.sh").returncode == 0


def test_what_runs_is_stopped_though_its_pid_file_is_lost(open_shop):
    (open_shop.folder / ".run" / "cart-service.pid").unlink()

    assert "cart-service is ready" in open_shop.run("run_services.sh", "status").stdout
    stopped = open_shop.run("run_services.sh", "stop")

    assert "cart-service is stopped" in stopped.stdout
    assert open_shop.listening() == ["api-gateway"]


def test_a_worker_that_hangs_when_its_master_is_killed_is_stopped_too(open_shop):
    for worker in _processes(open_shop, "cart-service", "worker"):
        with contextlib.suppress(ProcessLookupError):  # one whose master was killed before may be going just now
            os.kill(worker, signal.SIGSTOP)
    os.kill(open_shop.pid("cart-service"), signal.SIGKILL)

    stopped = open_shop.run("run_services.sh", "stop")

    assert "cart-service is stopped" in stopped.stdout
    assert _processes(open_shop, "cart-service") == []


def test_what_cannot_be_stopped_is_not_called_stopped(open_shop):
    stopped = open_shop.run("run_services.sh", "stop", **{"BASH_FUNC_kill%%": "() { return 1; }"})

    assert stopped.returncode == 1
    assert "is stopped" not in stopped.stdout
    assert f"cart-service still runs and cannot be stopped: process {open_shop.pid('cart-service')}" in stopped.stderr


def test_a_service_of_another_checkout_is_left_alone(open_shop, new_checkout):
    other = new_checkout()
    (other.folder / ".run").mkdir(exist_ok=True)
    for name in other.NAMES:
        (other.folder / ".run" / f"{name}.pid").write_text(str(open_shop.pid(name)))

    assert other.run("run_services.sh", "status").stdout.count("is stopped") == 6
    assert other.run("stop_all.sh").returncode == 0

    assert open_shop.listening() == open_shop.NAMES


def test_what_a_shop_writes_is_for_its_owners_eyes_only(checkout):
    checkout.run("start_all.sh")
    checkout.run("stop_all.sh")
    written = checkout.folder / "logs", checkout.folder / ".run", *checkout.folder.glob("services/*/instance")
    for path in (path for folder in written for path in (folder, *folder.iterdir())):
        path.chmod(0o755)  # as if before anybody cared
    checkout.env_file("auth-service").chmod(0o644)

    assert checkout.run("start_all.sh", umask=0o022).returncode == 0
    assert checkout.smoke().returncode == 0

    written = [*(path for folder in written for path in (folder, *folder.rglob("*")))]
    assert {path.suffix for path in written} >= {".db", ".db-wal", ".log", ".lock", ".pid"}
    ours = [*written, *map(checkout.env_file, checkout.NAMES)]
    assert [str(path) for path in ours if path.stat().st_mode & 0o077] == []


def test_logs_are_bounded_and_begun_anew_on_a_signal(checkout):
    checkout.run("stop_all.sh")
    env_file, logs = checkout.env_file("cart-service"), checkout.folder / "logs"
    complete = env_file.read_text()
    env_file.write_text(complete.replace("LOG_MAX_BYTES=", "WEB_CONCURRENCY=2\nLOG_MAX_BYTES=5000 #"))
    try:
        assert checkout.run("start_all.sh").returncode == 0
    finally:
        env_file.write_text(complete)

    def ask():
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{checkout.ports['cart-service']}/nothing-here")

    for _ in range(200):
        ask()
    sizes = {path.name: path.stat().st_size for path in logs.glob("cart-service.log*")}
    assert sizes.keys() == {"cart-service.log", *(f"cart-service.log.{number}" for number in (1, 2, 3))}
    assert all(size < 2 * 5000 for size in sizes.values())

    (logs / "cart-service.log").rename(logs / "moved.log")
    os.kill(checkout.pid("cart-service"), signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not (logs / "cart-service.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = (logs / "moved.log").stat().st_size
    ask()
    assert (logs / "moved.log").stat().st_size == before
    assert "nothing-here" in (logs / "cart-service.log").read_text()


def test_a_service_that_is_run_by_hand_keeps_its_files_private_too(checkout):
    checkout.run("stop_all.sh")
    folder, name = checkout.folder / "services" / "cart-service", "by-hand.db"
    environment = {**os.environ, "DATABASE_URI": f"sqlite:///{name}"}
    code = "from shopkit import service; import app; made = app.create_app(); made.run = lambda **_: None"
    code += "; service.run(made); made.app_context().push(); from models import db; db.create_all()"
    subprocess.run(  # noqa: S603
        [checkout.folder / ".venv/bin/python", "-c", code], cwd=folder, env=environment, umask=0o022, check=True
    )

    assert (folder / "instance" / name).stat().st_mode & 0o077 == 0


def test_a_taken_port_is_said_and_what_was_started_is_stopped(checkout):
    checkout.run("stop_all.sh")
    with socket.create_server(("127.0.0.1", checkout.ports["api-gateway"])):
        refused = checkout.run("start_all.sh")

    assert refused.returncode == 1
    assert f"Port {checkout.ports['api-gateway']}, which api-gateway needs, is taken" in refused.stderr
    assert checkout.listening() == []


def test_a_service_that_cannot_start_shows_the_end_of_its_log_and_the_others_are_stopped(checkout):
    checkout.run("stop_all.sh")
    env_file = checkout.env_file("order-service")
    complete = env_file.read_text()
    env_file.write_text(re.sub("^SECRET_KEY=.*$", "", complete, flags=re.MULTILINE))
    try:
        refused = checkout.run("start_all.sh")
    finally:
        env_file.write_text(complete)

    assert refused.returncode == 1
    assert "order-service did not start" in refused.stderr
    assert "SECRET_KEY is missing" in refused.stderr
    assert checkout.listening() == []


def test_settings_of_one_program_in_the_terminal_do_not_reach_all(checkout):
    checkout.run("stop_all.sh")

    started = checkout.run("start_all.sh", PORT="1", DATABASE_URI="sqlite:///all.db")

    assert started.returncode == 0, started.stderr
    assert checkout.listening() == checkout.NAMES


def test_seeding_again_changes_nothing(open_shop):
    for _ in range(2):
        seeded = open_shop.run("seed_all.sh")

        assert seeded.returncode == 0, seeded.stderr
    assert open_shop.smoke().returncode == 0


def test_an_administrator_is_made_with_a_password_of_ones_own(open_shop):
    made = open_shop.run("make_admin.sh", "boss", "--email", "boss@example.com", input="a secret of ours\n")

    assert (made.returncode, made.stdout) == (0, "boss has an account now, and is admin.\n"), made.stderr
    credentials = json.dumps({"username": "boss", "password": "a secret of ours"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{open_shop.ports['api-gateway']}/login", credentials, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert json.load(answer)["user"]["role"] == "admin"
    assert "a secret of ours" not in "".join(path.read_text() for path in (open_shop.folder / "logs").iterdir())


def test_why_nobody_was_made_an_administrator_is_said(checkout):
    refused = checkout.run("make_admin.sh", "chief", "--email", "chief@example.com", input="short\n")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "password: must have 8 to 128 characters\n"


def test_known_passwords_are_told_only_where_there_are_accounts_with_them(checkout):
    checkout.run("stop_all.sh")
    assert "password123" in checkout.run("start_all.sh").stdout

    assert "password123" not in checkout.run("start_all.sh", SEED_DEMO_DATA="false").stdout


def test_an_old_python_is_said(checkout, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.1" && exit\nexit 1\n')
    old.chmod(0o755)

    refused = checkout.run("install_dependencies.sh", PYTHON=str(old))

    assert refused.returncode == 1
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "Python 3.9.1" in refused.stderr


def _processes(checkout, name, role="(?:master|worker)"):
    """The process ids of a service of this checkout."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_text().rstrip("\0")
            here = (process / "cwd").samefile(checkout.env_file(name).parent)
        except OSError:
            continue
        if re.fullmatch(rf"gunicorn: {role} \[{name}\]", title) and here:
            found.append(int(process.name))
    return found
