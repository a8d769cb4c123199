"""The whole shop: its real apps wired to each other in this process, or its real processes, started by the scripts."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from importlib import import_module
from pathlib import Path

import pytest

from shopkit.testing import Wiring

ROOT = Path(__file__).parents[1]
SERVICES = {
    5001: "services/auth-service",
    5002: "services/profile-service",
    5003: "services/product-service",
    5004: "services/cart-service",
    5005: "services/order-service",
    5006: "services/customer-support-service",
}


class Shop:
    """The gateway, as somebody's browser sees it."""

    def __init__(self, gateway, wiring):
        self._client = gateway.test_client()
        self.wiring = wiring
        self.token = None

    def __call__(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self._client.open(path, method=method, json=body, headers=headers)

    def sign_in(self, username, password="password123"):  # noqa: S107
        session = self("POST", "/login", {"username": username, "password": password}).json
        self.token = session["access_token"]
        return session


@pytest.fixture
def make_app(running_from, environment, tmp_path):
    """Make the app of a folder, on a database of its own, seeded."""
    made = []

    def make_app(folder, adapter):
        with running_from(folder):
            name = folder.rpartition("/")[2]
            uri = f"sqlite:///{tmp_path}/{name}.db"
            settings = import_module("settings").Settings.from_env({**environment, "DATABASE_URI": uri})
            app = import_module("app").create_app(settings, adapter)
            if folder.startswith("services/"):
                db = import_module("models").db
                with app.app_context():
                    db.create_all()
                    import_module("seed").seed()
                made.append((app, db))
        return app

    yield make_app
    for app, db in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def shop(make_app):
    wiring = Wiring()
    wiring.apps = {port: make_app(folder, wiring) for port, folder in SERVICES.items()}
    return Shop(make_app("api-gateway", wiring), wiring)


@pytest.fixture
def new_shop(shop):
    """Somebody else at the same shop: `bob = new_shop(); bob.sign_in("bob")`."""

    def new_shop():
        other = Shop.__new__(Shop)
        other._client, other.wiring, other.token = shop._client, shop.wiring, None
        return other

    return new_shop


class Checkout:
    """A copy of this checkout whose services listen on free ports."""

    NAMES = [
        "auth-service",
        "profile-service",
        "product-service",
        "cart-service",
        "order-service",
        "customer-support-service",
        "api-gateway",
    ]

    def __init__(self, folder, tests_own):
        self.folder = folder
        self._terminal = {name: value for name, value in os.environ.items() if name not in tests_own}
        tracked = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in tracked.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        self.run("make_env.sh")
        self.ports = dict(zip(self.NAMES, _free_ports(len(self.NAMES)), strict=True))
        for name in self.NAMES:
            self._use_ports(self.env_file(name))

    def env_file(self, name):
        return self.folder / ("" if name == "api-gateway" else "services") / name / ".env"

    def _use_ports(self, env_file):
        text = env_file.read_text()
        for default, port in zip([5001, 5002, 5003, 5004, 5005, 5006, 5000], self.ports.values(), strict=True):
            text = re.sub(rf"\b{default}\b", str(port), text)
        env_file.write_text(text)

    def run(self, script, *arguments, **environment):
        return subprocess.run(  # noqa: S603
            [str(self.folder / script), *arguments],
            cwd="/",  # the scripts work from anywhere
            env={**self._terminal, **environment},
            capture_output=True,
            text=True,
            timeout=200,
        )

    def smoke(self):
        names = (
            "AUTH_SERVICE",
            "PROFILE_SERVICE",
            "PRODUCT_SERVICE",
            "CART_SERVICE",
            "ORDER_SERVICE",
            "SUPPORT_SERVICE",
        )
        urls = {
            f"{name}_URL": f"http://127.0.0.1:{port}"
            for name, port in zip((*names, "GATEWAY"), self.ports.values(), strict=True)
        }
        return self.run("test_services.py", **urls)

    def pid(self, name):
        return int((self.folder / ".run" / f"{name}.pid").read_text())

    def kill(self, name):
        os.kill(self.pid(name), signal.SIGKILL)
        deadline = time.monotonic() + 10  # its worker notices that within a second or two
        while _is_open(self.ports[name]):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def listening(self):
        return [name for name, port in self.ports.items() if _is_open(port)]


def _free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory, environment):
    """Make a copy of this checkout to start the shop from; whatever it starts is stopped in the end."""
    made = []

    def new_checkout():
        made.append(Checkout(tmp_path_factory.mktemp("checkout"), environment))
        return made[-1]

    yield new_checkout
    for checkout in made:
        checkout.run("stop_all.sh")
