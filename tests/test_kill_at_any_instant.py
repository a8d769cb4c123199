"""The shop with real processes, killed at every step of a checkout, a cancellation and the relay of an event.

After each kill the service is started again, and once it has recovered nothing may contradict anything else.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600), pytest.mark.xdist_group("killing")]

CHECKOUT = [
    "checkout.before_pending",
    "checkout.after_pending",
    "checkout.after_claim",
    "checkout.after_reserve",
    "checkout.after_charge",
    "checkout.after_commit",
    "checkout.after_confirm",
]
CANCEL = [
    "cancel.before",
    "cancel.after_cancelled",
    "cancel.after_refund",
    "cancel.after_restock",
    "cancel.after_refunded",
]
RELAY = ["relay.before_send", "relay.after_send", "relay.after_mark"]


@pytest.fixture(scope="module")
def shop(open_shop):
    return open_shop()


@pytest.fixture
def stock(shop):
    return lambda: shop.call("GET", "/products/1")[1]["stock"]


@pytest.mark.parametrize("failpoint", CHECKOUT)
def test_a_checkout_killed_at_any_step_is_finished_or_undone(shop, stock, failpoint):
    before, count = stock(), len(shop.orders())
    shop.restart_order_service(failpoint)

    status, _ = shop.buy()

    assert status in (0, 502), "the service was to be killed while it answered"
    assert shop.call("POST", "/cart/items", {"product_id": 2, "quantity": 3})[0] == 201
    shop.restart_order_service()
    shop.wait_until_settled()
    new = shop.orders()[count:]
    assert [order["status"] for order in new] in ([], ["failed"], ["confirmed"])
    bought = sum(order["status"] == "confirmed" for order in new)
    assert stock() == before - bought
    assert _cart(shop) == ({2: 3} if bought else {1: 1, 2: 3}, None)
    assert shop.contradictions() == []


def _cart(shop):
    """What is in alice's cart, and in checkout."""
    cart = shop.call("GET", "/cart")[1]
    return {item["product_id"]: item["quantity"] for item in cart["items"]}, cart["in_checkout"]


@pytest.mark.parametrize("failpoint", CANCEL)
def test_a_cancellation_killed_at_any_step_is_finished(shop, stock, failpoint):
    before = stock()
    status, order = shop.buy()
    assert status == 201, order
    shop.restart_order_service(failpoint)

    # The gateway repeats a DELETE whose connection broke, and may hear that all is done.
    assert shop.call("DELETE", f"/orders/{order['id']}/cancel")[0] in (0, 200, 502, 503)

    shop.restart_order_service()
    shop.wait_until_settled()
    seen = shop.call("GET", f"/orders/{order['id']}")[1]
    cancelled = failpoint != "cancel.before"
    assert (seen["status"], seen["payment_status"]) == (
        ("cancelled", "refunded") if cancelled else ("confirmed", "paid")
    )
    assert stock() == (before if cancelled else before - 1)
    assert shop.contradictions() == []


@pytest.mark.parametrize("failpoint", RELAY)
def test_an_event_whose_relay_is_killed_is_handled_once(shop, failpoint):
    shop.restart_order_service(failpoint)

    shop.buy()

    shop.restart_order_service()
    shop.wait_until_settled()
    assert shop.contradictions() == []


def test_a_repeated_request_after_a_kill_learns_what_came_of_the_first(shop):
    count = len(shop.orders())
    shop.restart_order_service("checkout.after_charge")
    assert shop.buy(Idempotency_Key="one-click")[0] in (0, 502)
    shop.restart_order_service()
    shop.wait_until_settled()

    status, order = shop.call("POST", "/orders", shop.order, Idempotency_Key="one-click")

    assert (status, order["status"]) == (201, "confirmed")
    assert [order["status"] for order in shop.orders()[count:]] == ["confirmed"]
    assert shop.contradictions() == []


def test_20_parallel_requests_with_one_key_make_one_order(shop):
    shop.call("DELETE", "/cart")
    shop.call("POST", "/cart/items", {"product_id": 1, "quantity": 1})
    count = len(shop.orders())
    body = shop.order

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
    assert shop.contradictions() == []


@pytest.mark.parametrize("has_keys", [True, False])
def test_of_eight_checkouts_of_one_cart_one_buys_it_and_the_others_are_told_which(shop, has_keys):
    shop.call("DELETE", "/cart")
    shop.call("POST", "/cart/items", {"product_id": 1, "quantity": 1})
    count = len(shop.orders())

    def check_out(number):
        headers = {"Idempotency_Key": f"tab-{number}"} if has_keys else {}
        return shop.call("POST", "/orders", shop.order, **headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(check_out, range(8)))

    [bought] = [body for status, body in answers if status == 201]
    refused = [(status, body["code"]) for status, body in answers if status != 201]
    assert set(refused) <= {(409, "checkout_in_progress"), (409, "cart_changed"), (409, "cart_empty")}
    assert {body["order_id"] for _, body in answers if body.get("code") == "checkout_in_progress"} <= {bought["id"]}
    assert [order["status"] for order in shop.orders()[count:]] == ["confirmed"]
    shop.wait_until_settled()
    assert _cart(shop) == ({}, None)
    assert shop.contradictions() == []
