"""A shop where two requests meet: at once, or one while the other is on its way; on SQLite and on PostgreSQL."""

import os
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import sqlalchemy as sa

from shopkit.testing import Wiring

AUTH, PROFILES, PRODUCTS, CARTS, ORDERS, SUPPORT = range(5001, 5007)
SERVICES = {
    AUTH: "auth-service",
    PROFILES: "profile-service",
    PRODUCTS: "product-service",
    CARTS: "cart-service",
    ORDERS: "order-service",
    SUPPORT: "customer-support-service",
}
PORT_OF = {
    **dict.fromkeys(("register", "login", "logout", "refresh"), AUTH),
    **dict.fromkeys(("profile", "addresses", "payment-methods"), PROFILES),
    **dict.fromkeys(("products", "favorites", "internal"), PRODUCTS),
    "cart": CARTS,
    "orders": ORDERS,
    "tickets": SUPPORT,
}
PROVIDER_CALLS = ("charge", "find", "void", "refund")
VISA, DECLINED = "4242424242424242", "4000000000000002"
PASSWORD = "correct horse"
PRICE, STOCK, WANTED = 10, 10, 2
ADDRESS = {
    "recipient": "A Buyer",
    "address_line1": "1 Test Street",
    "city": "Testville",
    "postal_code": "97201",
    "country": "US",
}
CARD = {"exp_month": 12, "exp_year": 2035, "cvc": "123", "cardholder_name": "A Buyer"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Interruptible(Wiring):
    """Lets something happen just before a chosen call to another service or to the payment provider."""

    def __init__(self):
        super().__init__()
        self._before, self._happening = 0, None
        self.interrupted = ""

    def interrupt(self, nth, happening):
        self._before, self._happening = nth, happening

    def send(self, request, *args, **kwargs):
        url = urlsplit(request.url)
        if url.port != AUTH:  # asking who somebody is changes nothing, and comes before everything
            self.reach(f"{request.method} {url.path}")
        return super().send(request, *args, **kwargs)

    def reach(self, call):
        if self._happening is None:
            return
        self._before -= 1
        if self._before == 0:
            happening, self._happening, self.interrupted = self._happening, None, call
            happening()

    def watch(self, provider):
        for name in PROVIDER_CALLS:
            setattr(provider, name, partial(self._pass_on, name, getattr(provider, name)))

    def _pass_on(self, name, call, *args):
        self.reach(name)
        return call(*args)


class World:
    """What the requests of one round touch, and nobody else: people, products, a cart, orders, tickets …"""

    def __init__(self, market, number):
        self.market, self.number = market, number
        self.names = {"key": uuid4().hex, "number": number}
        self.tokens = dict(market.staff)

    def ask(self, who, method, path, body=None, key=None):
        """Send a request; `{card}` in it is this world's card. Who is "jobs" runs those of the service on this port."""
        if who == "jobs":
            return self.market.run_jobs(int(path))
        path, body = self.filled(path), self.filled(body) or {}
        port = body.pop("@", None) or PORT_OF[path.split("?")[0].split("/")[1]]
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}
        if key:
            headers["Idempotency-Key"] = self.filled(key)
        body = body.get("*", body) or None
        return self.market.apps[port].test_client().open(path, method=method, json=body, headers=headers)

    def get(self, who, path):
        answer = self.ask(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def make(self, name, who, method, path, body=None, status=201):
        """Send a request that must succeed, and call the id of what came to be by a name."""
        answer = self.ask(who, method, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        if name:
            self.names[name] = answer.json["id"]
        return answer.json

    def filled(self, template):
        if isinstance(template, dict):
            return {name: self.filled(value) for name, value in template.items()}
        if isinstance(template, list):
            return [self.filled(each) for each in template]
        if not isinstance(template, str):
            return template
        if whole := PLACEHOLDER.fullmatch(template):
            return self._named(whole[1])
        return PLACEHOLDER.sub(lambda found: str(self._named(found[1])), template)

    def _named(self, name):
        if name == "newest":  # the buyer's newest order as it is now, pending or not
            orders = self.ask("admin", "GET", f"/orders?user_id={self.names['buyer']}&per_page=1").json
            return orders[0]["id"] if orders else 0
        return self.names[name]

    # What a round begins with.

    def nobody(self):
        pass

    def somebody(self, name="buyer"):
        login = {"username": f"{name}-{self.number}", "password": PASSWORD}
        self.make(name, None, "POST", "/register", {**login, "email": f"{name}-{self.number}@example.com"})
        self.sign_in(name)

    def sign_in(self, name="buyer"):
        login = {"username": f"{name}-{self.number}", "password": PASSWORD}
        session = self.make(None, None, "POST", "/login", login, 200)
        self.tokens[name] = session["access_token"]
        self.tokens[f"{name}'s refresh token"] = session["refresh_token"]

    def a_product(self, name="product"):
        new = {"name": "Thing", "description": "", "category": "things", "price": PRICE, "stock": STOCK}
        self.make(name, "admin", "POST", "/products", new)

    def a_shelf(self):
        self.somebody()
        self.a_product()
        self.a_product("other_product")

    def somebody_and_twelve_products(self):
        self.somebody()
        for each in range(12):
            self.a_product(f"product{each}")

    def a_full_cart(self, name="buyer"):
        """Two of a product in it, and a card."""
        self.somebody(name)
        if "product" not in self.names:
            self.a_product()
        owner = "" if name == "buyer" else f"{name}s_"
        self.make(f"{owner}card", name, "POST", "/payment-methods", {**CARD, "card_number": VISA})
        cart = self.make(None, name, "POST", "/cart/items", {"product_id": "{product}", "quantity": WANTED})
        self.names[f"{owner}line"] = cart["items"][0]["id"]

    def add_what_is_named_in(self, asks):
        """What few requests need."""
        if "{bad_card}" in str(asks):
            self.make("bad_card", "buyer", "POST", "/payment-methods", {**CARD, "card_number": DECLINED})
        if "{address}" in str(asks) and "address" not in self.names:
            self.make("address", "buyer", "POST", "/addresses", ADDRESS)

    def a_full_cart_and_another_product(self):
        self.a_full_cart()
        self.a_product("other_product")

    def two_full_carts_and_three_pieces(self):
        self.a_full_cart()
        self.a_full_cart("neighbour")
        self.make(None, "admin", "PUT", "/products/{product}", {"stock": 3}, 200)

    def an_order(self):
        self.a_full_cart()
        order = {"payment_method_id": "{card}", "shipping_address": ADDRESS}
        self.make("order", "buyer", "POST", "/orders", order)

    def an_order_and_a_full_cart(self):
        self.an_order()
        self.make(None, "buyer", "POST", "/cart/items", {"product_id": "{product}", "quantity": WANTED})

    def an_order_in_processing(self):
        self.an_order()
        self.make(None, "admin", "PUT", "/orders/{order}", {"status": "processing"}, 200)

    def a_shipped_order(self):
        self.an_order_in_processing()
        self.make(None, "admin", "PUT", "/orders/{order}", {"status": "shipped"}, 200)

    def an_event_of_an_order(self):
        self.an_order()
        self._take_event("orders", "product-service", "event")
        self._take_event("orders", "customer-support-service", "support_event")

    def an_event_of_a_product(self):
        self.a_full_cart()
        self.make(None, "admin", "PUT", "/products/{product}", {"price": PRICE + 1}, 200)
        self._take_event("product", "cart-service", "event")

    def an_event_of_an_account(self):
        self.somebody()
        self._take_event("auth", "profile-service", "event")

    def _take_event(self, database, target, name):
        query = f"SELECT id FROM outbox WHERE target = '{target}' ORDER BY occurred_at DESC LIMIT 1"  # noqa: S608
        event_id = self.market.rows(database, query)[0]["id"]
        self.names[name] = self.market.event(database, event_id, target)

    def two_addresses(self):
        self.somebody()
        for name in ("address", "other_address"):
            self.make(name, "buyer", "POST", "/addresses", ADDRESS)

    def two_cards(self):
        self.somebody()
        for name in ("card", "other_card"):
            self.make(name, "buyer", "POST", "/payment-methods", {**CARD, "card_number": VISA})

    def a_favorite(self):
        self.a_shelf()
        self.make(None, "buyer", "POST", "/favorites", {"product_id": "{product}"})

    def two_people_and_a_product(self):
        self.a_shelf()
        self.somebody("neighbour")

    def a_ticket(self):
        self.somebody()
        self.make("ticket", "buyer", "POST", "/tickets", {"subject": "Lamp", "message": "It flickers."})

    def a_closed_ticket(self):
        self.a_ticket()
        self.make(None, "buyer", "PUT", "/tickets/{ticket}/close", None, 200)

    def a_reservation_to_come(self):
        self.a_product()
        self.names["reservation"] = str(uuid4())

    def a_reservation(self):
        self.a_reservation_to_come()
        wanted = {"reservation_id": "{reservation}", "items": [{"product_id": "{product}", "quantity": WANTED}]}
        self.make(None, "service", "POST", "/internal/reservations", wanted)

    def a_sold_reservation(self):
        self.a_reservation()
        self.make(None, "service", "POST", "/internal/reservations/{reservation}/commit", None, 200)

    # What came of it.

    def orders(self, who="buyer"):
        return self.get("admin", f"/orders?user_id={self.names[who]}")

    def bought(self, who="buyer"):
        """How many of each product there are in orders that stand."""
        live = (order for order in self.orders(who) if order["status"] not in ("failed", "cancelled"))
        return sum(
            (Counter({each["product_id"]: each["quantity"]}) for order in live for each in order["items"]), Counter()
        )

    def cart(self, who="buyer"):
        if self.ask(who, "GET", "/cart").status_code == 401:  # the round was about signing out
            self.sign_in(who)
        return self.get(who, "/cart")

    def in_cart(self, who="buyer"):
        return Counter({item["product_id"]: item["quantity"] for item in self.cart(who)["items"]})


class Market:
    """The shop, and the worlds in it."""

    def __init__(self, wiring, rows, contradictions):
        self.wiring, self.apps, self.rows = wiring, dict(wiring.apps), rows
        self._contradictions, self._known = contradictions, set()
        self._numbers = count(1)
        self.staff = {}
        wiring.watch(self.apps[ORDERS].extensions["payment_provider"])
        for name in ("admin", "support"):
            login = {"username": name, "password": "password123"}
            signed_in = self.apps[AUTH].test_client().post("/login", json=login)
            self.staff[name] = signed_in.json["access_token"]
        secret = {"client_id": "order-service", "client_secret": "a service's secret"}
        token = self.apps[AUTH].test_client().post("/token", json={"grant_type": "client_credentials", **secret})
        self.staff["service"] = token.json["access_token"]

    def new_world(self, given, *asks):
        world = World(self, next(self._numbers))
        getattr(world, given)()
        world.add_what_is_named_in(asks)
        return world

    def at_once(self, world, asks):
        """Send all of them at the same moment, each from a thread of its own."""
        barrier = Barrier(len(asks))

        def send(ask):
            barrier.wait(10)
            return world.ask(*ask)

        with ThreadPoolExecutor(len(asks)) as pool:
            return list(pool.map(send, asks))

    def one_inside_the_other(self, world, outer, inner, nth):
        """Send one, and the other just before the nth call that it makes, or after it if it makes fewer.

        :return: both answers, and the call before which it happened; empty if it came afterwards.
        """
        answered = []

        def happen():
            with ThreadPoolExecutor(1) as another_thread:  # where Flask knows nothing of the request that waits
                answered.append(another_thread.submit(world.ask, *inner).result())

        self.wiring.interrupt(nth, happen)
        outer_answer = world.ask(*outer)
        self.wiring.interrupt(0, None)
        call = self.wiring.interrupted if answered else ""
        if not answered:
            happen()
        return outer_answer, answered[0], call

    def run_jobs(self, port):
        app = self.apps[port]
        for job in app.extensions.get("jobs", []):
            with app.app_context():
                job.run()
        return SimpleNamespace(status_code=200, json={}, text="jobs have run")

    def event(self, database, event_id, target):
        """An event as it travels, taken from the outbox."""
        app = self.apps[{"orders": ORDERS, "product": PRODUCTS, "auth": AUTH}[database]]
        with app.app_context():
            db = app.extensions["sqlalchemy"]
            table = db.metadata.tables["outbox"]
            with db.engine.connect() as connection:
                row = connection.execute(sa.select(table).filter_by(id=event_id, target=target)).one()
        return {"id": row.id, "name": row.name, "occurred_at": row.occurred_at.isoformat(), "payload": row.payload}

    def complaints(self, *worlds):
        """What contradicts itself now and did not before, once everything that was left to do is done."""
        for _ in range(2):  # events are told, what is left is recovered, and its events are told
            self.run_jobs(ORDERS)
        half_way = """SELECT id, status, payment_status FROM orders
                      WHERE status = 'pending' OR (status = 'cancelled' AND payment_status = 'paid')"""
        left = {
            "order {id} is left {status}, {payment_status}".format_map(row) for row in self.rows("orders", half_way)
        }
        carts = [world.cart(name) for world in worlds for name in ("buyer", "neighbour") if name in world.names]
        found = {*self._contradictions(self.rows, carts), *left}
        new, self._known = found - self._known, found | self._known
        return sorted(new)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def market(request, tmp_path_factory, apps_on, rows_in, contradictions):
    """A shop on databases of this kind; every switch between threads comes soon, so that they meet in many ways."""
    on = _sqlite_files(tmp_path_factory) if request.param == "sqlite" else _schemas(request)
    with on as uri_of, apps_on(uri_of) as make_app:
        wiring = Interruptible()
        wiring.apps = {port: make_app(f"services/{name}", wiring) for port, name in SERVICES.items()}
        interval = sys.getswitchinterval()
        sys.setswitchinterval(interval / 20)
        yield Market(wiring, rows_in(dict(wiring.apps)), contradictions)
        sys.setswitchinterval(interval)


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
