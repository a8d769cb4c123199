"""A checkout or a cancellation of which one step fails, each in turn: a call, its answer, a database, or the machine.

Whoever asked hears what became of it, or which order it is about; after the recovery nothing contradicts anything.
"""

from itertools import count

import pytest

from pairs.market import FAULTS
from pairs.sent import CANCEL, CHECK_OUT, DECLINED, with_key

MOST_STEPS = 60
IN_USE = "idempotency_key_in_use"  # a key of which nobody knows yet whether anything came of it


@pytest.fixture(params=FAULTS)
def each_fault(request, market):
    """`for world, answer, where in each_fault(given, request)`: its first, second, … step fails, until none is left."""

    def each_fault(given, sent):
        for nth in count(1):
            assert nth < MOST_STEPS
            world = market.new_world(given, sent)
            answer, failed = market.with_a_fault(request.param, nth, world, sent)
            yield world, answer, f"{failed or 'nothing'}; answered {answer.status_code} {answer.json.get('code', '')}"
            if not failed:
                break

    return each_fault


@pytest.mark.parametrize("sent", [CHECK_OUT, DECLINED], ids=["", "declined"])
def test_a_checkout_of_which_a_step_fails_is_finished_or_undone(market, each_fault, sent):
    found, worlds = [], []
    for world, answer, where in each_fault("a_full_cart", sent):
        worlds.append(world)
        complaints = [*says_which_order(world, answer)]
        market.recover()
        complaints += [*bought_or_in_the_cart(world), *stands_if_said(world, answer)]
        found += [f"{where}: {each}" for each in complaints]

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("sent", [CHECK_OUT, with_key(CHECK_OUT)], ids=["without a key", "with its key"])
def test_who_asks_again_after_a_fault_buys_once(market, each_fault, sent):
    found, worlds = [], []
    for world, first, where in each_fault("a_full_cart", sent):
        worlds.append(world)
        at_once = world.ask(*sent)
        market.recover()
        later = world.ask(*sent)
        where += f", then {at_once.status_code}, then {later.status_code} {later.json.get('code', '')}"
        complaints = [*bought_or_in_the_cart(world), *stands_if_said(world, first, at_once, later)]
        if len(world.standing_orders()) > 1:
            complaints.append(f"{len(world.standing_orders())} orders stand")
        if world.orders() and later.json.get("code") == IN_USE:
            complaints.append("what became of it is known, and is not told")
        found += [f"{where}: {each}" for each in complaints]

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("sent", [CANCEL, with_key(CANCEL)], ids=["", "with a key"])
def test_a_cancellation_of_which_a_step_fails_is_finished(market, each_fault, sent):
    found, worlds = [], []
    for world, _, where in each_fault("an_order", sent):
        worlds.append(world)
        begun = world.get("buyer", "/orders/{order}")["status"] == "cancelled"
        market.recover()
        order = world.get("buyer", "/orders/{order}")
        if (order["status"], order["payment_status"]) != (
            ("cancelled", "refunded") if begun else ("confirmed", "paid")
        ):
            found.append(f"{where}: the order is {order['status']}, {order['payment_status']}")

        again = world.ask(*sent)

        is_unknown = not begun and again.json.get("code") == IN_USE
        if (again.status_code, again.json.get("payment_status")) != (200, "refunded") and not is_unknown:
            found.append(f"{where}: asked again {again.status_code} {again.json.get('code', '')}")

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


def says_which_order(world, answer):
    """A failure that leaves an order on its way names it."""
    pending = [order["id"] for order in world.orders() if order["status"] == "pending"]
    if answer.status_code >= 400 and pending and answer.json.get("order_id") not in pending:
        yield f"it does not name its order {pending}"


def bought_or_in_the_cart(world):
    product = world.names["product"]
    bought, in_cart = world.bought()[product], world.in_cart()[product]
    if bought + in_cart != 2:
        yield f"2 were put in; {bought} were bought, {in_cart} are in the cart"


def stands_if_said(world, *answers):
    said = {answer.json["id"] for answer in answers if answer.status_code == 201}
    if not said <= set(world.standing_orders()):
        yield f"{said} were answered 201, {set(world.standing_orders())} stand"
