"""The whole shop: its real apps wired to each other in this process, or its real processes, started by the scripts."""

import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from shop_services import GATEWAY, SERVICES
from shopkit import prepare
from shopkit.testing import Wiring

ROOT = Path(__file__).parents[1]
SEEDED = 3  # the references of the demonstration's orders are the numbers up to this
# The same algorithm for a thousandth of the time: guessing a password need not take long here.
QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
LIVE = ("confirmed", "processing", "shipped", "delivered")
ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}
ORDERS = """SELECT o.*, (SELECT SUM(i.price * i.quantity) FROM order_items i WHERE i.order_id = o.id) AS total
            FROM orders o ORDER BY o.id"""


class Shop:
    """The gateway, as somebody's browser sees it."""

    def __init__(self, gateway, wiring):
        self.gateway = gateway.test_client()
        self.wiring = wiring
        self.token = None

    def __call__(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.gateway.open(path, method=method, json=body, headers=headers)

    def sign_in(self, username, password="password123"):  # noqa: S107
        session = self("POST", "/login", {"username": username, "password": password}).json
        self.token = session["access_token"]
        return session


@pytest.fixture(scope="session")
def apps_on(running_from, environment):
    """`with apps_on(uri_of) as make_app`: makes the app of a folder, seeded, on the database that is meant for it."""

    @contextmanager
    def apps_on(uri_of):
        made, patch = [], pytest.MonkeyPatch()

        def make_app(folder, adapter, **changed):
            with running_from(folder):
                name = folder.rpartition("/")[2]
                environ = {**environment, "DATABASE_URI": uri_of(name), **changed}
                settings = import_module("settings").Settings.from_env(environ)
                app = import_module("app").create_app(settings, adapter)
                if folder.startswith("services/"):
                    models = import_module("models")
                    if name == "auth-service":
                        hashing = import_module("hashing")
                        patch.setattr(hashing, "hasher", QUICK_HASHER)
                        patch.setattr(hashing, "NOBODYS", QUICK_HASHER.hash("nobody's"))
                    with app.app_context():
                        models.db.create_all()
                        prepare.fill(app)
                    made.append((app, models.db))
            return app

        yield make_app
        patch.undo()
        for app, db in made:
            with app.app_context():
                db.engine.dispose()

    return apps_on


@pytest.fixture
def make_app(apps_on, tmp_path):
    """Make the app of a folder, on an SQLite file of its own, seeded."""
    with apps_on(lambda name: f"sqlite:///{tmp_path}/{name}.db") as make_app:
        yield make_app


@pytest.fixture
def shop(make_app):
    wiring = Wiring()
    wiring.apps = {each.port: make_app(each.folder, wiring) for each in SERVICES}
    return Shop(make_app("api-gateway", wiring), wiring)


@pytest.fixture
def new_shop(shop):
    """Somebody else at the same shop: `bob = new_shop(); bob.sign_in("bob")`."""

    def new_shop():
        other = Shop.__new__(Shop)
        other.gateway, other.wiring, other.token = shop.gateway, shop.wiring, None
        return other

    return new_shop


@pytest.fixture(scope="session")
def rows_in():
    """`rows_in(apps)(database, query)` looks into a database, by its name in `ports`, of apps in this process."""
    ports = {"orders": 5005, "sandbox": 5005, "product": 5003, "cart": 5004, "auth": 5001}

    def rows_in(apps):
        def rows(database, query):
            app = apps[ports[database]]
            with app.app_context():
                ledger = app.extensions["payment_provider"] if database == "sandbox" else app.extensions["sqlalchemy"]
                with ledger.engine.connect() as connection:
                    found = connection.execute(sa.text(query)).mappings().all()
            return [{name: each.hex if isinstance(each, UUID) else each for name, each in row.items()} for row in found]

        return rows

    return rows_in


@pytest.fixture
def shop_rows(shop, rows_in):
    """`shop_rows(database, query)` looks into "orders", "sandbox", "product" or "cart" of the shop in this process."""
    return rows_in(dict(shop.wiring.apps))


class Checkout:
    """A copy of this checkout whose services listen on free ports."""

    NAMES = [each.name for each in (*SERVICES, GATEWAY)]

    def __init__(self, folder, tests_own):
        self.folder = folder
        self.terminal = {name: value for name, value in os.environ.items() if name not in tests_own}
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
                # Older than what is installed, so that the scripts never install the copy into the environment of all.
                os.utime(folder / name, (0, 0))
        (folder / ".venv").symlink_to(ROOT / ".venv")
        self.run("make_env.sh")
        self.ports = dict(zip(self.NAMES, _free_ports(len(self.NAMES)), strict=True))
        for name in self.NAMES:
            self._use_ports(self.env_file(name))

    def env_file(self, name):
        return self.folder / ("" if name == "api-gateway" else "services") / name / ".env"

    def _use_ports(self, env_file):
        text = env_file.read_text()
        for default, port in zip([each.port for each in (*SERVICES, GATEWAY)], self.ports.values(), strict=True):
            text = re.sub(rf"\b{default}\b", str(port), text)
        env_file.write_text(text)

    def run(self, script, *arguments, umask=-1, input=None, **environment):
        return subprocess.run(  # noqa: S603
            [str(self.folder / script), *arguments],
            cwd="/",  # the scripts work from anywhere
            env={**self.terminal, **environment},
            capture_output=True,
            text=True,
            timeout=200,
            umask=umask,
            input=input,
        )

    def smoke(self):
        settings = {each.name: each.address_setting for each in SERVICES} | {GATEWAY.name: "GATEWAY_URL"}
        urls = {settings[name]: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        return self.run("test_services.py", **urls)

    def pid(self, name):
        return int((self.folder / ".run" / f"{name}.pid").read_text())

    def kill(self, name):
        os.kill(self.pid(name), signal.SIGKILL)
        wait_until(lambda: not _is_open(self.ports[name]))  # its worker notices that within a second or two

    def listening(self):
        return [name for name, port in self.ports.items() if _is_open(port)]


def _free_ports(number):
    """Below those that the system gives to outgoing connections: one of these might take a port between two starts."""
    candidates = random.SystemRandom().sample(range(10_000, 20_000), 10 * number)
    return [port for port in candidates if not _is_open(port)][:number]


def _is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory, environment):
    """Make a copy of this checkout to start the shop from; whatever it starts is stopped in the end."""
    made = []

    def new_checkout():
        # Wherever somebody keeps it.
        folder = tmp_path_factory.mktemp("checkout") / 'somebody\'s "100 %20 %(x)s" shop'
        made.append(Checkout(folder, environment))
        return made[-1]

    yield new_checkout
    for checkout in made:
        checkout.run("stop_all.sh")


class RunningShop:
    """A shop with real processes, seen by alice, whose order service looks often for what was interrupted.

    :param settings: what else stands in the .env of which service.
    """

    order = {"payment_method_id": 1, "shipping_address": ADDRESS}
    _databases = {
        "orders": "order-service/instance/orders.db",
        "sandbox": "order-service/instance/sandbox.db",
        "product": "product-service/instance/product.db",
        "cart": "cart-service/instance/cart.db",
    }

    def __init__(self, checkout, contradictions, settings):
        self.checkout = checkout
        self.contradictions = partial(contradictions, self.rows)
        self._set("order-service", RECOVERY_SECONDS="0.3")
        for name, values in settings.items():
            self._set(name, **values)
        started = checkout.run("start_all.sh")
        assert started.returncode == 0, started.stderr
        self.url = f"http://127.0.0.1:{checkout.ports['api-gateway']}"
        self.token = self.call("POST", "/login", {"username": "alice", "password": "password123"})[1]["access_token"]

    def _set(self, name, **settings):
        env_file = self.checkout.env_file(name)
        lines = [line for line in env_file.read_text().splitlines() if line.split("=")[0] not in settings]
        env_file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in settings.items())]) + "\n")

    def call(self, method, path, body=None, **headers):
        """Status and body; the status is 0 when the connection broke."""
        headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if hasattr(self, "token"):
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")
        except OSError:
            return 0, None

    def buy(self, quantity=1, **headers):
        self.call("DELETE", "/cart")
        self.call("POST", "/cart/items", {"product_id": 1, "quantity": quantity})
        return self.call("POST", "/orders", self.order, **headers)

    def restart_order_service(self, failpoint=""):
        """Kill it, let the leases of its orders end as if the time had passed, and wait until customers reach it."""
        self.checkout.kill("order-service")
        with closing(sqlite3.connect(self._file("orders"))) as connection, connection:
            connection.execute("UPDATE orders SET leased_until = '2001-01-01 00:00:00.000000'")
        started = self.checkout.run("run_services.sh", "start", FAILPOINT=failpoint)
        assert started.returncode == 0, started.stdout + started.stderr
        # After so many failures the gateway leaves it alone for a while.
        wait_until(lambda: self.call("GET", "/orders")[0] == 200)

    def rows(self, database, query):
        return rows_of(self._file(database), query)

    def _file(self, database):
        return self.checkout.folder / "services" / self._databases[database]

    def orders(self):
        return self.rows("orders", "SELECT * FROM orders ORDER BY id")

    def wait_until_settled(self):
        """Nothing is pending, nothing half cancelled, and every event has been delivered."""
        half_way = (
            "SELECT id FROM orders WHERE status = 'pending' OR (status = 'cancelled' AND payment_status = 'paid')"
        )
        untold = "SELECT id FROM outbox WHERE delivered_at IS NULL"
        wait_until(lambda: not any(self.rows("orders", query) for query in (half_way, untold)))


def wait_until(condition):
    """Wait for what must happen sooner or later, however busy the machine is."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="session", name="wait_until")
def _wait_until():
    return wait_until


def _contradictions(rows, carts=()):
    about_rows = (_about_money, _about_stock, _about_events, _about_claims)
    return [*(each for about in about_rows for each in about(rows)), *_about_carts(carts)]


def _about_money(rows):
    """Every charge that was not given back has one live order, and the other way round."""
    orders = {order["reference"]: order for order in rows("orders", ORDERS)}
    taken = "SELECT * FROM sandbox_ledger WHERE declined IS NULL"
    charges = {line["key"]: line for line in rows("sandbox", taken)}
    for key in charges.keys() | orders.keys():
        status, payment = (orders[key]["status"], orders[key]["payment_status"]) if key in orders else (None, None)
        kept = key in charges and not charges[key]["refunded"]
        if kept != (status in LIVE) or kept != (payment == "paid"):
            yield f"order {key} is {status}, {payment}; its charge is {charges.get(key)}"
        if kept and key in orders and charges[key]["amount"] != orders[key]["total"]:
            yield f"order {key} costs {orders[key]['total']}; its charge is {charges[key]}"
        if (key in charges and not kept) != (payment == "refunded"):
            yield f"order {key} is {status}, {payment}, its charge is {charges.get(key)}"


def _about_stock(rows):
    """The ledger says what the shelf says, nothing is reserved for nobody, and what is sold has a live order."""
    sums = """SELECT p.id, p.on_hand, p.reserved, SUM(m.on_hand_change) AS moved, SUM(m.reserved_change) AS held
              FROM products p JOIN stock_movements m ON m.product_id = p.id GROUP BY p.id"""
    for row in rows("product", sums):
        if (row["on_hand"], row["reserved"]) != (row["moved"], row["held"]) or row["on_hand"] < 0 or row["reserved"]:
            yield f"stock and ledger: {row}"
    orders = {order["reference"]: order["status"] for order in rows("orders", ORDERS)}
    for row in rows("product", "SELECT REPLACE(id, '-', '') AS id, status FROM reservations"):
        if row["status"] == "held" or (row["status"] == "committed") != (orders.get(row["id"]) in LIVE):
            yield f"reservation {row['id']} is {row['status']}, its order is {orders.get(row['id'])}"


def _about_events(rows):
    """What was told was heard, and once."""
    for service, heard in {"product": "SELECT event_id FROM inbox", "cart": _HEARD_BY_CART}.items():
        told = f"SELECT DISTINCT id AS event_id FROM outbox WHERE target = '{service}-service'"  # noqa: S608
        sent = Counter(row["event_id"] for row in rows("orders", told))
        received = Counter(row["event_id"] for row in rows(service, heard))
        for event in sorted((sent - received) + (received - sent)):
            yield f"event {event} was told {sent[event]} times, {service} heard it {received[event]} times"


_HEARD_BY_CART = "SELECT event_id FROM inbox WHERE handler = 'end_claim'"  # and of products, what others tell


def _about_claims(rows):
    """What an order claims is in no cart once it is confirmed, and free again once it has failed."""
    orders = {order["reference"]: order["status"] for order in rows("orders", ORDERS)}
    for claim in rows("cart", "SELECT reference FROM claims WHERE ended_at IS NULL"):
        if orders.get(claim["reference"]) != "pending":
            yield f"claim {claim} is open, its order is {orders.get(claim['reference'])}"
    held = "SELECT i.* FROM cart_items i JOIN claims c ON c.reference = i.claim_reference WHERE c.ended_at IS NOT NULL"
    for item in rows("cart", held):
        yield f"{item} belongs to a claim that has ended"
    claimed = {row["reference"] for row in rows("cart", "SELECT reference FROM claims WHERE cart_id IS NOT NULL")}
    for reference, status in orders.items():
        if status in LIVE and int(reference, 16) > SEEDED and reference not in claimed:
            yield f"order {reference} is {status}, and has claimed nothing"


def _about_carts(carts):
    """Whoever is served has a cart that adds up, and nothing that is being bought when nobody buys."""
    for cart in carts:
        if cart.get("in_checkout"):
            yield f"cart {cart['id']} still is in checkout: {cart['in_checkout']}"
        if round(100 * cart["total"]) != sum(round(100 * item["price"]) * item["quantity"] for item in cart["items"]):
            yield f"cart {cart['id']} does not add up: {cart}"
        if len({item["product_id"] for item in cart["items"]}) != len(cart["items"]):
            yield f"cart {cart['id']} has a product in two lines: {cart['items']}"


def rows_of(file, query):
    """What a query finds in an SQLite file."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


@pytest.fixture(scope="session")
def contradictions():
    """Everything that cannot be true at once; empty when the shop has not lied.

    `contradictions(rows, carts)`, where `rows(database, query)` looks into the databases of the shop, and
    carts are what `GET /cart` says to people whose checkouts have come to their ends.
    """
    return _contradictions


@pytest.fixture(scope="module")
def open_shop(new_checkout, contradictions):
    """Open a shop with real processes: `open_shop({"cart-service": {"WEB_CONCURRENCY": 4}})`."""
    return lambda settings=None: RunningShop(new_checkout(), contradictions, settings or {})
