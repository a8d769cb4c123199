"""The shop with real processes, killed at every step of a checkout, a cancellation and the relay of an event.

After each kill the service is started again, and once it has recovered nothing may contradict anything else.
"""

import json
import sqlite3
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600), pytest.mark.xdist_group("killing")]

CHECKOUT = [
    "checkout.before_pending",
    "checkout.after_pending",
    "checkout.after_reserve",
    "checkout.after_charge",
    "checkout.after_commit",
    "checkout.after_confirm",
    "checkout.after_cart",
]
CANCEL = [
    "cancel.before",
    "cancel.after_cancelled",
    "cancel.after_refund",
    "cancel.after_restock",
    "cancel.after_refunded",
]
RELAY = ["relay.before_send", "relay.after_send", "relay.after_mark"]
LIVE = ("confirmed", "processing", "shipped", "delivered")
ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}


class Shop:
    """A running shop whose order service settles and relays quickly."""

    def __init__(self, checkout):
        self.checkout = checkout
        env_file = checkout.env_file("order-service")
        quickly = {"CHECKOUT_LEASE_SECONDS": "1.5", "RECOVERY_SECONDS": "0.3"}
        lines = [line for line in env_file.read_text().splitlines() if line.split("=")[0] not in quickly]
        env_file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in quickly.items())]) + "\n")
        started = checkout.run("start_all.sh")
        assert started.returncode == 0, started.stderr
        self.token = self.call("POST", "/login", {"username": "alice", "password": "password123"})[1]["access_token"]

    def call(self, method, path, body=None, **headers):
        """Status and body; the status is 0 when the connection broke."""
        headers = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if hasattr(self, "token"):
            headers["Authorization"] = f"Bearer {self.token}"
        url = f"http://127.0.0.1:{self.checkout.ports['api-gateway']}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
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
        return self.call("POST", "/orders", {"payment_method_id": 1, "shipping_address": ADDRESS}, **headers)

    def restart_order_service(self, failpoint=""):
        self.checkout.kill("order-service")
        started = self.checkout.run("run_services.sh", "start", FAILPOINT=failpoint)
        assert started.returncode == 0, started.stdout + started.stderr

    def rows(self, service, database, query):
        path = self.checkout.folder / "services" / service / "instance" / database
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def orders(self):
        return self.rows("order-service", "orders.db", "SELECT * FROM orders ORDER BY id")

    def wait_until_settled(self):
        """Nothing is pending, nothing half cancelled, and every event has been delivered."""
        half_way = (
            "SELECT id FROM orders WHERE status = 'pending' OR (status = 'cancelled' AND payment_status = 'paid')"
        )
        untold = "SELECT id FROM outbox WHERE delivered_at IS NULL"
        deadline = time.monotonic() + 30
        while any(self.rows("order-service", "orders.db", query) for query in (half_way, untold)):
            assert time.monotonic() < deadline, self.orders()[-1]
            time.sleep(0.1)


def _contradictions(shop):
    """Everything that cannot be true at once; empty when the shop has not lied."""
    return [*_about_money(shop), *_about_stock(shop), *_about_events(shop)]


def _about_money(shop):
    """Every charge that was not given back has one live order, and the other way round."""
    orders = {order["reference"]: order for order in shop.orders()}
    taken = "SELECT * FROM sandbox_ledger WHERE declined IS NULL"
    charges = {line["key"]: line for line in shop.rows("order-service", "sandbox.db", taken)}
    for key in charges.keys() | orders.keys():
        status, payment = (orders[key]["status"], orders[key]["payment_status"]) if key in orders else (None, None)
        kept = key in charges and not charges[key]["refunded"]
        if kept != (status in LIVE) or kept != (payment == "paid"):
            yield f"order {key} is {status}, {payment}; its charge is {charges.get(key)}"
        if (key in charges and not kept) != (payment == "refunded"):
            yield f"order {key} is {status}, {payment}, its charge is {charges.get(key)}"


def _about_stock(shop):
    """The ledger says what the shelf says, and nothing is reserved for nobody."""
    sums = """SELECT p.id, p.on_hand, p.reserved, SUM(m.on_hand_change) AS moved, SUM(m.reserved_change) AS held
              FROM products p JOIN stock_movements m ON m.product_id = p.id GROUP BY p.id"""
    for row in shop.rows("product-service", "product.db", sums):
        if (row["on_hand"], row["reserved"]) != (row["moved"], row["held"]) or row["on_hand"] < 0 or row["reserved"]:
            yield f"stock and ledger: {row}"
    for row in shop.rows("product-service", "product.db", "SELECT id FROM reservations WHERE status = 'held'"):
        yield f"reservation {row['id']} is held for nobody"


def _about_events(shop):
    """What was told was heard, and once."""
    told = "SELECT DISTINCT id AS event_id FROM outbox WHERE target = 'product-service'"
    heard = "SELECT event_id FROM inbox"
    sent = [row["event_id"] for row in shop.rows("order-service", "orders.db", told)]
    received = [row["event_id"] for row in shop.rows("product-service", "product.db", heard)]
    if sorted(sent) != sorted(received):
        yield f"told {sent}, heard {received}"


@pytest.fixture(scope="module")
def shop(new_checkout):
    return Shop(new_checkout())


@pytest.fixture
def stock(shop):
    return lambda: shop.call("GET", "/products/1")[1]["stock"]


@pytest.mark.parametrize("failpoint", CHECKOUT)
def test_a_checkout_killed_at_any_step_is_finished_or_undone(shop, stock, failpoint):
    shop.call("DELETE", "/cart")
    before, count = stock(), len(shop.orders())
    shop.restart_order_service(failpoint)

    status, _ = shop.buy()

    assert status in (0, 502), "the service was to be killed while it answered"
    shop.restart_order_service()
    shop.wait_until_settled()
    new = shop.orders()[count:]
    assert [order["status"] for order in new] in ([], ["failed"], ["confirmed"])
    assert stock() == before - sum(order["status"] == "confirmed" for order in new)
    assert _contradictions(shop) == []


@pytest.mark.parametrize("failpoint", CANCEL)
def test_a_cancellation_killed_at_any_step_is_finished(shop, stock, failpoint):
    before = stock()
    status, order = shop.buy()
    assert status == 201, order
    shop.restart_order_service(failpoint)

    # The gateway repeats a DELETE whose connection broke, and may hear that it is done.
    assert shop.call("DELETE", f"/orders/{order['id']}/cancel")[0] in (0, 502, 409)

    shop.restart_order_service()
    shop.wait_until_settled()
    seen = shop.call("GET", f"/orders/{order['id']}")[1]
    cancelled = failpoint != "cancel.before"
    assert (seen["status"], seen["payment_status"]) == (
        ("cancelled", "refunded") if cancelled else ("confirmed", "paid")
    )
    assert stock() == (before if cancelled else before - 1)
    assert _contradictions(shop) == []


@pytest.mark.parametrize("failpoint", RELAY)
def test_an_event_whose_relay_is_killed_is_handled_once(shop, failpoint):
    shop.restart_order_service(failpoint)

    shop.buy()

    shop.restart_order_service()
    shop.wait_until_settled()
    assert _contradictions(shop) == []


def test_a_repeated_request_after_a_kill_buys_once(shop):
    count = len(shop.orders())
    shop.restart_order_service("checkout.after_charge")
    assert shop.buy(Idempotency_Key="one-click")[0] in (0, 502)
    shop.restart_order_service()
    shop.wait_until_settled()

    shop.buy(Idempotency_Key="one-click")

    assert [order["status"] for order in shop.orders()[count:]] == ["confirmed"]
    assert _contradictions(shop) == []


def test_20_parallel_requests_with_one_key_make_one_order(shop):
    shop.call("POST", "/cart/items", {"product_id": 1, "quantity": 1})
    count = len(shop.orders())
    body = {"payment_method_id": 1, "shipping_address": ADDRESS}

    def click(_):
        for _ in range(50):
            answer = shop.call("POST", "/orders", body, Idempotency_Key="twenty-clicks")
            if answer[0] != 409:
                return answer
            time.sleep(0.1)
        return answer

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(click, range(20)))

    assert {status for status, _ in answers} == {201}
    assert all(body == answers[0][1] for _, body in answers)
    assert len(shop.orders()) == count + 1
    shop.wait_until_settled()
    assert _contradictions(shop) == []
