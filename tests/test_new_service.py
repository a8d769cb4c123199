"""A new service needs one line in the table and its own files: CONTRIBUTING.md's recipe, followed and started."""

import json
import re
import socket
import subprocess
import textwrap
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300), pytest.mark.xdist_group("scripts")]

ROOT = Path(__file__).parents[1]
NAME, PORT = "gift-service", 5007


@pytest.fixture(scope="module")
def recipe():
    """The code of the recipe, block by block."""
    section = re.search(r"## Add a service\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
    return [textwrap.dedent(block) for block in re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)]


@pytest.fixture(scope="module")
def checkout(new_checkout, recipe):
    """A shop with the new service, on ports of its own."""
    checkout = new_checkout()
    line, *files, commands = recipe
    with (checkout.folder / "kit/src/shop_services/services.txt").open("a") as table:
        table.write(line)
    for text in files:
        name, content = re.fullmatch(r"# (\S+)\n(.*)", text, re.DOTALL).groups()
        (checkout.folder / name).parent.mkdir(exist_ok=True)
        (checkout.folder / name).write_text(content)
    # The kit that is installed is that of the checkout which is tested.
    done = subprocess.run(  # noqa: S603
        ["bash", "-euc", commands],  # noqa: S607
        cwd=checkout.folder,
        env=checkout.terminal | {"PYTHONPATH": str(checkout.folder / "kit/src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        checkout.ports[NAME] = free.getsockname()[1]
    env_file = checkout.env_file(NAME)
    env_file.write_text(
        env_file.read_text()
        .replace(str(PORT), str(checkout.ports[NAME]))
        .replace("127.0.0.1:5001", f"127.0.0.1:{checkout.ports['auth-service']}")
    )
    with checkout.env_file("api-gateway").open("a") as settings:
        settings.write(f"GIFT_SERVICE_URL=http://127.0.0.1:{checkout.ports[NAME]}\n")
    return checkout


@pytest.fixture
def get(checkout):
    """Ask the gateway; `get(path, token=…)`."""

    def get(path, body=None, token=""):
        request = urllib.request.Request(
            f"http://127.0.0.1:{checkout.ports['api-gateway']}{path}",
            json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    return get


def test_it_is_started_migrated_filled_and_reached_through_the_gateway(checkout, get):
    started = checkout.run(
        *("run_services.sh", "start", "auth-service", NAME, "api-gateway"), PYTHONPATH=str(checkout.folder / "kit/src")
    )

    assert started.returncode == 0, started.stdout + started.stderr
    assert f"{NAME} is ready on port {checkout.ports[NAME]}" in started.stdout
    token = get("/login", {"username": "alice", "password": "password123"})["access_token"]
    assert get("/gifts", token=token) == [{"id": 1, "name": "A box of chocolates"}]
    assert get("/")["services"][NAME] == ["gifts"]
    assert "/gifts" in get("/openapi.json")["paths"]


def test_its_files_are_as_this_house_likes_them(checkout):
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        linted = subprocess.run(  # noqa: S603
            [ROOT / ".venv/bin" / command[0], *command[1:], f"services/{NAME}"],
            cwd=checkout.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert linted.returncode == 0, linted.stdout


def test_it_has_a_container(checkout):
    assert f"dockerfile: services/{NAME}/Dockerfile" in (checkout.folder / "docker-compose.yml").read_text()
    assert f"WORKDIR /shop/services/{NAME}" in (checkout.folder / f"services/{NAME}/Dockerfile").read_text()
