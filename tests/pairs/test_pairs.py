"""Every two requests that write to one thing may meet: whatever each is answered, nothing contradicts anything.

`PAIRS` is the list. Each pair is sent at once, several times, and again with the one running whole inside the other,
before each call that this one makes to another service: so a checkout is interrupted at every step.
"""

import re
from collections import Counter
from fnmatch import fnmatchcase
from itertools import count

import pytest

from pairs.checkouts import CHECKOUTS
from pairs.goods import CARTED, ORDERED, SHELVES
from pairs.laws import all_sessions_hold, bought_once, cancelled_is_cancelled, says_where_it_is
from pairs.people import AT_HOME, EVENTS, SESSIONS, TALK
from pairs.sent import CANCEL, CANCEL_BY_POST, CANCEL_BY_STAFF, CHECK_OUT, CHECK_OUT_FOR_20, REFRESH, with_key

ROUNDS = 3
MOST_CALLS = 60
# No fault is injected here, so nobody may hear that something has timed out or was given up.
NEVER_SAID = {"reservation_ended", "voided", "order_pending", "failed_before", "interrupted"}
PAIRS = [*CHECKOUTS, *ORDERED, *SHELVES, *CARTED, *AT_HOME, *TALK, *SESSIONS, *EVENTS]

# Writing routes that are in no pair, as patterns, and why.
UNPAIRED = {
    "POST /login": "each makes a session of its own",
    "POST /validate": "it writes nothing",
    "POST /token": "it writes nothing",
    "POST /webhooks/stripe": "it is there with a key of Stripe's only",
    "* /internal/cart*": "the order service's steps, which all pairs of a checkout take",
    "* /internal/claims*": "the order service's steps, which all pairs of a checkout take",
}


def complaints(pair, world, answers):
    statuses = tuple(answer.status_code for answer in answers)
    codes = [(answer.json or {}).get("code") if answer.status_code >= 400 else None for answer in answers]
    if statuses not in pair.allowed:
        yield f"answered {statuses} {codes}"
    elif pair in CHECKOUTS and NEVER_SAID.intersection(codes):
        yield f"somebody was told {codes}"
    elif max(statuses) < 500:
        for law in pair.then:
            yield from law(world, *answers)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_two_requests_at_once_contradict_nothing(market, pair):
    found, worlds = [], []
    for _ in range(ROUNDS):
        worlds.append(market.new_world(pair.given, pair.one, pair.other))
        answers = market.at_once(worlds[-1], [pair.one, pair.other])
        found += complaints(pair, worlds[-1], answers)

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_request_inside_another_contradicts_nothing(market, pair):
    found, worlds = [], []
    for is_turned in (False,) if pair.is_symmetric else (False, True):
        outer, inner = (pair.other, pair.one) if is_turned else (pair.one, pair.other)
        if outer[0] == "jobs":
            continue
        for nth in count(1):
            assert nth < MOST_CALLS
            worlds.append(market.new_world(pair.given, outer, inner))
            *answers, call = market.one_inside_the_other(worlds[-1], outer, inner, nth)
            where = f"{inner[1]} {inner[2]} before {call}" if call else f"{inner[1]} {inner[2]} afterwards"
            answers = answers[::-1] if is_turned else answers
            found += [f"{where}: {each}" for each in complaints(pair, worlds[-1], answers)]
            if not call:
                break

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


def test_twelve_different_products_added_at_once_all_get_in(market):
    for _ in range(ROUNDS):
        world = market.new_world("somebody_and_twelve_products")
        adds = [("buyer", "POST", "/cart/items", {"product_id": f"{{product{each}}}"}) for each in range(12)]

        answers = market.at_once(world, adds)

        assert [answer.status_code for answer in answers] == [201] * 12
        assert sorted(world.in_cart().values()) == [1] * 12
        assert market.complaints(world) == []


@pytest.mark.parametrize("checkout", [CHECK_OUT, CHECK_OUT_FOR_20], ids=["any total", "the total that was seen"])
@pytest.mark.parametrize("has_keys", [False, True], ids=["without keys", "a key each"])
def test_of_eight_checkouts_of_one_cart_one_buys_it(market, checkout, has_keys):
    for _ in range(ROUNDS):
        world = market.new_world("a_full_cart")
        tabs = [with_key(checkout, f"tab-{each}") if has_keys else checkout for each in range(8)]

        answers = market.at_once(world, tabs)

        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
        assert [*bought_once(world, *answers), *says_where_it_is(world, *answers)] == []
        assert market.complaints(world) == []


def test_several_cancels_at_once_and_a_later_one_are_answered_with_the_one_result(market):
    for _ in range(ROUNDS):
        world = market.new_world("an_order")

        answers = market.at_once(world, [CANCEL, CANCEL_BY_POST, CANCEL_BY_STAFF, CANCEL, CANCEL])
        answers.append(world.ask(*CANCEL))

        results = {(each.status_code, each.json.get("status"), each.json.get("payment_status")) for each in answers}
        assert results == {(200, "cancelled", "refunded")}
        assert [*cancelled_is_cancelled(world, *answers), *market.complaints(world)] == []


def test_several_refreshes_at_once_sign_nobody_out(market):
    for _ in range(ROUNDS):
        world = market.new_world("somebody")

        answers = market.at_once(world, [REFRESH] * 3)

        assert [answer.status_code for answer in answers] == [200] * 3
        assert list(all_sessions_hold(world, *answers)) == []


def test_every_writing_route_is_in_a_pair(market):
    """A new one belongs in `PAIRS`, with whatever else writes to the same thing, or in `UNPAIRED` with a reason."""
    paired = {f"{request[1]} {_example(request[2])}" for pair in PAIRS for request in (pair.one, pair.other)}
    missing = []
    for app in market.apps.values():
        routes = app.url_map.bind("localhost")
        matched = {
            (rule.rule, name.split()[0])
            for name in paired
            if routes.test(name.split()[1], name.split()[0])
            for rule in [routes.match(name.split()[1], name.split()[0], return_rule=True)[0]]
        }
        for rule in app.url_map.iter_rules():
            for method in sorted(rule.methods - {"GET", "HEAD", "OPTIONS"}):
                name = f"{method} {rule.rule}"
                known = any(fnmatchcase(name, pattern) for pattern in UNPAIRED)
                if (rule.rule, method) not in matched and not known:
                    missing.append(f"{app.name} {name}")

    assert missing == []


def _example(path):
    """A path with an id where a name stands."""
    return re.sub(r"\{(\w+)\}", lambda found: str(UUID_EXAMPLE) if found[1] == "reservation" else "1", path)


UUID_EXAMPLE = "00000000-0000-0000-0000-000000000001"
