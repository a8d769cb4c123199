"""Every call to another service, with that service down, slow or broken: it is said, and all is well afterwards."""

import pytest
import requests

RESERVATIONS = ("POST", "/internal/reservations")
COMMIT, RELEASE, RESTOCK = (("POST", f"/internal/reservations/*/{step}") for step in ("commit", "release", "restock"))
CLAIM, RETURN = ("POST", "/internal/claims"), ("POST", "/internal/claims/*/return")
CART, ADDRESS, CARD = ("GET", "/cart"), ("GET", "/addresses/3"), ("GET", "/internal/payment-methods/1")
TOKEN = ("POST", "/token")
PAID = (5099, None, False)
REFUNDED = (5099, None, True)
DECLINED = (5099, "card_declined", False)


@pytest.fixture(params=[requests.ConnectionError, requests.ReadTimeout, 500], ids=["down", "slow", "broken"])
def how(request):
    return request.param


@pytest.fixture
def said(how):
    return 504 if how is requests.ReadTimeout else 502


@pytest.fixture
def others(others):
    """They also know an address, and our token has to be asked for anew each time."""
    others.on(*ADDRESS, {"id": 3, "address_line1": "9 Hill Road", "city": "Salem"})
    others.on(*TOKEN, {"access_token": "order-service", "expires_in": 0})
    return others


@pytest.fixture
def buy(check_out):
    return lambda: check_out(shipping_address=None, address_id=3)


@pytest.fixture
def cancel(client, alice):
    return lambda order: client.delete(f"/orders/{order['id']}/cancel", headers=alice)


@pytest.fixture
def states(client, alice):
    return lambda: [(o["status"], o["payment_status"]) for o in client.get("/orders", headers=alice).json]


@pytest.fixture
def fail(others, how):
    """Have calls fail in that way: `back = fail(COMMIT)`, until `back()`; the first `spared` ones do not yet."""

    def fail(*calls, spared=0):
        usual = {call: others.answer_of(*call) for call in calls}
        for call in calls:
            _after(spared, call, usual[call])

        def back():
            for call, body in usual.items():
                others.on(*call, body)

        return back

    def _after(spared, call, body):
        left = [None] * spared

        def answer(_):
            if left:
                left.pop()
                return 200, body
            if how == 500:
                return 500, {"detail": "a bug", "code": "internal_error"}
            raise how("no")

        others.on(*call, answer=answer)

    return fail


@pytest.mark.parametrize("call", [CART, ADDRESS, CARD, TOKEN])
def test_without_what_is_asked_for_first_there_is_no_order(buy, fail, recover, states, charges, call, said):
    back = fail(call)

    assert buy().status_code == said

    recover()
    assert (states(), charges()) == ([], [])
    back()
    recover()
    assert (states(), charges()) == ([], [])
    assert buy().status_code == 201


@pytest.mark.parametrize(
    ("calls", "spared", "state", "taken"),
    [
        ([CLAIM], 0, ("failed", "none"), []),
        ([CLAIM, RETURN], 0, ("failed", "none"), []),
        ([RESERVATIONS], 0, ("failed", "none"), []),
        ([RESERVATIONS, RETURN], 0, ("failed", "none"), []),
        ([RESERVATIONS, RELEASE], 0, ("failed", "none"), []),
        ([RESERVATIONS, COMMIT, RELEASE, RESTOCK], 0, ("failed", "none"), []),
        ([COMMIT], 0, ("confirmed", "paid"), [PAID]),
        ([COMMIT, RELEASE, RESTOCK, RETURN], 0, ("confirmed", "paid"), [PAID]),
        ([TOKEN], 1, ("failed", "none"), []),  # asked for the card, then for the cart, then for the stock
        ([TOKEN], 2, ("failed", "none"), []),
        ([TOKEN], 3, ("confirmed", "paid"), [PAID]),
    ],
)
def test_an_order_whose_stock_does_not_answer_is_settled_later(
    buy, fail, recover, states, charges, calls, spared, state, taken, said
):
    back = fail(*calls, spared=spared)

    response = buy()

    assert response.status_code == said
    if states() == [("pending", "none")]:
        assert response.json["code"] == "order_pending"
        recover()  # too early
        assert states() == [("pending", "none")]
    back()
    recover()
    recover()
    assert (states(), charges()) == ([state], taken)


@pytest.mark.parametrize("calls", [[RELEASE], [RETURN], [RELEASE, COMMIT, RESTOCK]])
def test_a_decline_is_not_said_before_what_is_held_for_it_is_given_back(
    buy, card, fail, recover, states, charges, calls, said
):
    card("sandbox_card_declined_1")
    back = fail(*calls)

    response = buy()

    assert (response.status_code, response.json["code"], response.json["order_id"]) == (said, "order_pending", 1)
    recover()
    assert states() == [("pending", "none")]
    back()
    recover()
    assert (states(), charges()) == ([("failed", "failed")], [DECLINED])


@pytest.mark.parametrize(
    ("token", "paid"), [("sandbox_timeout_charged_1", True), ("sandbox_timeout_not_charged_1", False)]
)
def test_neither_the_provider_nor_the_stock_answers(buy, card, fail, recover, states, charges, token, paid):
    card(token)
    back = fail(COMMIT, RELEASE, RESTOCK)

    assert buy().json["code"] == "order_pending"

    assert states() == [("pending", "none")]
    back()
    recover()
    assert (states(), charges()) == (([("confirmed", "paid")], [PAID]) if paid else ([("failed", "none")], []))


@pytest.mark.parametrize("call", [RESTOCK, TOKEN])
@pytest.mark.parametrize("again", ["by the recovery", "by the customer"])
def test_a_cancelled_order_is_refunded_once_and_restocked_later(
    buy, cancel, fail, recover, states, charges, call, said, again
):
    order = buy().json
    back = fail(call)

    assert cancel(order).status_code == said

    recover()
    assert (states(), charges()) == ([("cancelled", "paid")], [REFUNDED])
    back()
    if again == "by the recovery":
        recover()
    else:
        assert cancel(order).status_code == 200
    assert (states(), charges()) == ([("cancelled", "refunded")], [REFUNDED])
