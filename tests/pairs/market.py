"""A shop where two requests meet: at once, or one while the other is on its way."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from urllib.parse import urlsplit

import sqlalchemy as sa

from pairs.world import AUTH, ORDERS, PRODUCTS, World
from shopkit.testing import Wiring

PROVIDER_CALLS = ("charge", "find", "void", "refund")


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
