"""The scripts, with real processes: a copy of this checkout on ports of its own."""

import re
import socket

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


def test_existing_settings_are_never_overwritten_and_secrets_are_ones_own(checkout):
    before = {name: checkout.env_file(name).read_text() for name in checkout.NAMES}

    checkout.run("make_env.sh")

    assert {name: checkout.env_file(name).read_text() for name in checkout.NAMES} == before
    secrets = [re.search("^SECRET_KEY=(.+)$", text, re.MULTILINE).group(1) for text in before.values()]
    assert len(set(secrets)) == len(checkout.NAMES)
    assert all(len(secret) == 64 for secret in secrets)
    assert checkout.env_file("auth-service").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lost", ["auth-service", "order-service"])
def test_a_lost_env_file_comes_back_with_the_secret_that_the_other_side_knows(checkout, lost):
    account = re.compile(r"(?:SERVICE_CLIENTS=.*order-service:|SERVICE_CLIENT_SECRET=)([^,\n]+)")
    other = {"auth-service": "order-service", "order-service": "auth-service"}[lost]
    kept = checkout.env_file(lost).read_text()
    checkout.env_file(lost).unlink()

    checkout.run("make_env.sh")
    remade = checkout.env_file(lost).read_text()
    checkout.env_file(lost).write_text(kept)

    assert account.search(remade).group(1) == account.search(checkout.env_file(other).read_text()).group(1)


def test_an_old_python_is_said(checkout, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.1" && exit\nexit 1\n')
    old.chmod(0o755)

    refused = checkout.run("install_dependencies.sh", PYTHON=str(old))

    assert refused.returncode == 1
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "Python 3.9.1" in refused.stderr
