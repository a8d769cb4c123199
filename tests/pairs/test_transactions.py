"""A request that writes commits once, and begins no transaction afterwards: what it answers was read before.

All requests of the pairs are sent, one by one, and whatever these ask of other services is watched as well: so a new
route that writes is among them, as `test_every_writing_route_is_in_a_pair` asks for it.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from flask import Request, has_request_context, request, request_finished

from pairs.test_pairs import PAIRS

# What takes several transactions that write, and why. Nothing may begin after the last of these, nevertheless.
SEVERAL = {
    "POST /orders": "others are asked between the steps of a checkout, each of which finds the order as it was left",
    "PUT /orders/<int:order_id>": "a cancellation is committed before money and stock are given back",
    "DELETE /orders/<int:order_id>/cancel": "a cancellation is committed before money and stock are given back",
    "POST /orders/<int:order_id>/cancel": "a cancellation is committed before money and stock are given back",
}
# What reads after it has written, and why.
READS_ON = {
    "GET /cart": "the cart of somebody who has none yet is made first",
}
WRITES_NOTHING = {"POST /login", "POST /token", "POST /validate"}


@dataclass
class Sent:
    """A request, and its transactions: whether each has written."""

    request: Request  # kept, so that none that comes later is taken for it
    route: str
    status: int = 0
    transactions: list[bool] = field(default_factory=list)


class Watch:
    """What becomes of each request, in all services."""

    def __init__(self):
        self._sent = {}

    def begin(self, connection):
        connection.info["transaction"] = None
        if has_request_context():
            transactions = self._this().transactions
            connection.info["transaction"] = (transactions, len(transactions))
            transactions.append(False)

    def execute(self, connection, _, statement, *__):
        if connection.info.get("transaction") and statement.startswith(("INSERT", "UPDATE", "DELETE")):
            transactions, number = connection.info["transaction"]
            transactions[number] = True

    def rollback(self, connection):
        if connection.info.get("transaction"):
            transactions, number = connection.info["transaction"]
            transactions[number] = False

    def finish(self, _, response):
        self._this().status = response.status_code

    def done(self):
        """Of each route that went well, what its transactions were."""
        return {(each.route, tuple(each.transactions)) for each in self._sent.values() if each.status < 400}

    def _this(self):
        this = request._get_current_object()
        return self._sent.setdefault(id(this), Sent(this, f"{request.method} {request.url_rule}"))


@contextmanager
def watching(market):
    watch, listening = Watch(), []
    for app in market.apps.values():
        with app.app_context():
            engine = app.extensions["sqlalchemy"].engine
        listening += [(engine, name, getattr(watch, name)) for name in ("begin", "rollback")]
        listening.append((engine, "before_cursor_execute", watch.execute))
    for each in listening:
        sa.event.listen(*each)
    try:
        with request_finished.connected_to(watch.finish):
            yield watch
    finally:
        for each in listening:
            sa.event.remove(*each)


@pytest.fixture(scope="module")
def done(market):
    """What all requests of all pairs did, each sent by itself into a world of its own."""
    looks = [("somebody", ("buyer", "GET", "/cart"))]
    asks = {str(each): each for pair in PAIRS for each in ((pair.given, pair.one), (pair.given, pair.other))}
    with watching(market) as watch:
        for given, ask in [*asks.values(), *looks]:
            market.new_world(given, ask).ask(*ask)
    return watch.done()


def test_no_transaction_begins_after_the_commit_of_what_was_written(done):
    wrong = [
        (route, *("writes" if each else "reads" for each in wrote)) for route, wrote in done if _goes_on(route, wrote)
    ]

    assert wrong == []


def _goes_on(route, wrote):
    if route in READS_ON or True not in wrote:
        return False
    due = len(wrote) - wrote[::-1].index(True) if route in SEVERAL else wrote.index(True) + 1
    return len(wrote) > due


def test_every_request_of_the_pairs_has_written(done):
    """Or nothing would be known of it."""
    sent = {route for route, _ in done if not route.startswith("GET ")}
    wrote = {route for route, transactions in done if any(transactions)}

    assert sent - wrote <= WRITES_NOTHING
    assert wrote >= {*SEVERAL, *READS_ON}
