"""A shop where two requests meet: at once, or one while the other is on its way."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from threading import Barrier
from types import SimpleNamespace
from urllib.parse import urlsplit

import requests
import sqlalchemy as sa

from pairs.world import AUTH, CARTS, ORDERS, PRODUCTS, World
from shopkit.database import now
from shopkit.errors import UpstreamTimeout
from shopkit.testing import Wiring

PROVIDER_CALLS = ("charge", "find", "void", "refund")
SERVICES_THAT_WRITE = (ORDERS, CARTS, PRODUCTS)


class Stopped(BaseException):
    """The machine stops: nothing more is done, nothing is answered."""


STOPPED = Stopped()
LOCKED = sa.exc.OperationalError("a statement", None, Exception("database is locked"))
PROVIDER_IS_SILENT = UpstreamTimeout("The payment provider did not answer in time.", code="payment_unknown")
# Where a step fails, before or after a call or when a service commits what it has written, and how.
FAULTS = {
    "a call is lost": ("before", requests.ConnectionError("nobody is there")),
    "an answer is lost": ("after", requests.ReadTimeout("silence")),
    "the orders are locked": (ORDERS, LOCKED),
    "the carts are locked": (CARTS, LOCKED),
    "the shelves are locked": (PRODUCTS, LOCKED),
    "all stops before a call": ("before", STOPPED),
    "all stops after a call": ("after", STOPPED),
    "all stops before orders are committed": (ORDERS, STOPPED),
    "all stops before carts are committed": (CARTS, STOPPED),
}


class Interruptible(Wiring):
    """Lets something happen just before a chosen call to another service or to the payment provider."""

    def __init__(self):
        super().__init__()
        self._left, self._before, self._after = 0, None, None
        self.interrupted = ""

    def interrupt(self, nth, before=None, after=None):
        """Let something happen before or after the nth call from now on; it may raise."""
        self._left, self._before, self._after, self.interrupted = nth, before, after, ""

    def send(self, request, *args, **kwargs):
        url = urlsplit(request.url)
        if url.port == AUTH:  # asking who somebody is changes nothing, and comes before everything
            return super().send(request, *args, **kwargs)
        return self._pass_on(f"{request.method} {url.path}", super().send, request, *args, **kwargs)

    def watch(self, provider):
        for name in PROVIDER_CALLS:
            setattr(provider, name, partial(self._pass_on, name, getattr(provider, name)))

    def _pass_on(self, name, call, *args, **kwargs):
        self._left -= 1
        if self._left:
            return call(*args, **kwargs)
        self.interrupted = name
        if self._before:
            self._before()
        answer = call(*args, **kwargs)
        if self._after:
            self._after()
        return answer


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

        usual = sys.getswitchinterval()
        sys.setswitchinterval(usual / 20)  # so that they meet in many ways
        try:
            with ThreadPoolExecutor(len(asks)) as pool:
                return list(pool.map(send, asks))
        finally:
            sys.setswitchinterval(usual)

    def one_inside_the_other(self, world, outer, inner, nth):
        """Send one, and the other just before the nth call that it makes, or after it if it makes fewer.

        :return: both answers, and the call before which it happened; empty if it came afterwards.
        """
        answered = []

        def happen():
            with ThreadPoolExecutor(1) as another_thread:  # where Flask knows nothing of the request that waits
                answered.append(another_thread.submit(world.ask, *inner).result())

        self.wiring.interrupt(nth, before=happen)
        outer_answer = world.ask(*outer)
        call = self.wiring.interrupted
        self.wiring.interrupt(0)
        if not answered:
            happen()
        return outer_answer, answered[0], call

    def with_a_fault(self, fault, nth, world, ask):
        """Send a request of which the nth step fails.

        :return: the answer, of status 0 if there was none, and what failed; empty if there were fewer steps.
        """
        where, what = FAULTS[fault]
        failing = self._failing_commit if where in SERVICES_THAT_WRITE else self._failing_call
        try:
            with failing(where, nth, what) as failed:
                answer = world.ask(*ask)
        except Stopped:
            answer = SimpleNamespace(status_code=0, json={}, text="")
        return answer, f"{fault}: {failed[0]}" if failed else ""

    @contextmanager
    def _failing_call(self, where, nth, what):
        failed = []

        def fail():
            failed.append(self.wiring.interrupted)
            is_of_provider = self.wiring.interrupted in PROVIDER_CALLS
            raise PROVIDER_IS_SILENT if is_of_provider and what is not STOPPED else what

        self.wiring.interrupt(nth, **{where: fail})
        try:
            yield failed
        finally:
            self.wiring.interrupt(0)

    @contextmanager
    def _failing_commit(self, port, nth, what):
        """Of the transactions in which a service writes, the nth cannot be committed."""
        failed, writing = [], count(1)
        with self.apps[port].app_context():
            engine = self.apps[port].extensions["sqlalchemy"].engine

        def note_write(connection, _, statement, *__):
            if statement.startswith(("INSERT", "UPDATE", "DELETE")):
                connection.info.setdefault("wrote", " ".join(statement.split()[:4]))

        def fail(connection):
            wrote = connection.info.pop("wrote", None)
            if wrote and next(writing) == nth:
                failed.append(wrote)
                connection.connection.dbapi_connection.rollback()  # or its locks outlive what has failed
                raise what

        listeners = {
            "before_cursor_execute": note_write,
            "commit": fail,
            "rollback": lambda connection: connection.info.pop("wrote", None),
        }
        for name, listener in listeners.items():
            sa.event.listen(engine, name, listener)
        try:
            yield failed
        finally:
            for name, listener in listeners.items():
                sa.event.remove(engine, name, listener)

    def recover(self):
        """Let the recovery come, for which every lease has ended."""
        app = self.apps[ORDERS]
        with app.app_context():
            db = app.extensions["sqlalchemy"]
            orders = db.metadata.tables["orders"]
            with db.engine.begin() as connection:
                connection.execute(sa.update(orders).values(leased_until=now() - timedelta(seconds=1)))
        for _ in range(2):
            self.run_jobs(ORDERS)

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
