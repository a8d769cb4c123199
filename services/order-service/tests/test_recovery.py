"""A checkout or a cancellation that stops half-way is settled by asking, whatever the half was."""

from datetime import timedelta

import pytest
import requests
import sqlalchemy as sa

from checkout import checkout, settlement
from models import db
from orders import leases
from orders.models import Order
from shopkit.database import now

RESERVATION = "/internal/reservations/*"
TIME_OUT = requests.ReadTimeout
FAILED, PAID = [("failed", "none")], [("confirmed", "paid")]


@pytest.fixture
def orders(client, alice):
    return lambda: client.get("/orders", headers=alice).json


@pytest.fixture
def states(orders):
    return lambda: [(order["status"], order["payment_status"]) for order in orders()]


@pytest.fixture
def interrupt(app, monkeypatch):
    """End the checkout at a failpoint, as if the process had been killed there."""

    class Killed(BaseException):
        pass

    def interrupt(name, action):
        def reach(reached):
            if reached == name:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(checkout, "reach", reach)
            patch.setattr(settlement, "reach", reach)
            with pytest.raises(Killed):
                action()

    return interrupt


@pytest.mark.parametrize(
    ("point", "state", "taken", "done"),
    [
        ("checkout.before_pending", [], [], []),
        ("checkout.after_pending", FAILED, [], ["release", "return"]),
        ("checkout.after_claim", FAILED, [], ["claims", "release", "return"]),
        ("checkout.after_reserve", FAILED, [], ["claims", "reservations", "release", "return"]),
        ("checkout.after_charge", PAID, [(5099, None, False)], ["claims", "reservations", "commit"]),
        ("checkout.after_commit", PAID, [(5099, None, False)], ["claims", "reservations", "commit", "commit"]),
        ("checkout.after_confirm", PAID, [(5099, None, False)], ["claims", "reservations", "commit"]),
    ],
)
def test_a_checkout_that_was_killed_is_finished_or_undone(
    check_out, interrupt, recover, states, charges, steps, point, state, taken, done
):
    interrupt(point, check_out)

    recover()
    recover()

    assert (states(), charges(), steps()) == (state, taken, done)


@pytest.mark.parametrize("point", ["before", "after_cancelled", "after_refund", "after_restock", "after_refunded"])
def test_a_cancellation_that_was_killed_is_finished(
    check_out, client, alice, interrupt, recover, states, charges, point
):
    order = check_out().json
    interrupt(f"cancel.{point}", lambda: client.delete(f"/orders/{order['id']}/cancel", headers=alice))

    recover()

    refunded = point != "before"
    assert states() == [("cancelled", "refunded") if refunded else ("confirmed", "paid")]
    assert charges() == [(5099, None, refunded)]


def test_somebody_who_still_works_on_an_order_is_left_alone(app, check_out, interrupt, states):
    interrupt("checkout.after_charge", check_out)

    with app.app_context():
        app.extensions["settlement"].recover()

    assert states() == [("pending", "none")]


def test_of_two_who_recover_at_once_each_takes_other_orders(app, check_out, interrupt):
    for _ in range(3):
        interrupt("checkout.after_charge", check_out)
    later = now() + timedelta(hours=1)

    with app.app_context():
        taken = [leases.take_over(later, timedelta(minutes=1)) for _ in range(4)]

    assert [order and order.id for order in taken] == [1, 2, 3, None]


def test_an_order_that_cannot_be_settled_does_not_keep_the_others_waiting(
    check_out, interrupt, recover, states, others
):
    for _ in range(2):
        interrupt("checkout.after_charge", check_out)
    sold = []

    def break_once(_):
        sold.append(1)
        if len(sold) == 1:
            raise ZeroDivisionError("a bug")
        return 200, {}

    others.on("POST", f"{RESERVATION}/commit", answer=break_once)

    recover()

    assert states() == [("confirmed", "paid"), ("pending", "none")]


@pytest.mark.parametrize("token", ["sandbox_timeout_charged_1", "sandbox_timeout_not_charged_1"])
def test_a_payment_without_an_answer_is_asked_about(check_out, card, states, charges, token):
    card(token)

    response = check_out()

    charged = token == "sandbox_timeout_charged_1"
    assert response.status_code == (201 if charged else 504)
    assert states() == [("confirmed", "paid") if charged else ("failed", "none")]
    assert charges() == ([(5099, None, False)] if charged else [])


def test_when_it_is_unknown_whether_the_stock_is_sold_the_order_goes_on_later(
    check_out, others, recover, states, charges
):
    others.down("POST", f"{RESERVATION}/commit", TIME_OUT)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (504, "order_pending")
    assert states() == [("pending", "none")]
    others.on("POST", f"{RESERVATION}/commit", {})
    recover()
    assert (states(), charges()) == ([("confirmed", "paid")], [(5099, None, False)])


def test_stock_that_is_gone_when_it_is_paid_for_is_refunded(check_out, others, states, charges):
    others.refuse("POST", f"{RESERVATION}/commit", 409, "It was released.", "wrong_state")

    response = check_out()

    assert response.status_code == 409
    assert states() == [("failed", "refunded")]
    assert charges() == [(5099, None, True)]


def test_a_reservation_without_an_answer_is_released(check_out, others, steps, states, charges):
    others.down("POST", "/internal/reservations", TIME_OUT)

    assert check_out().status_code == 504
    assert (states(), charges()) == ([("failed", "none")], [])
    assert steps() == ["claims", "reservations", "release", "return"]


def test_what_cannot_be_undone_now_is_undone_later(check_out, card, others, recover, states):
    card("sandbox_card_declined_1")
    others.down("POST", f"{RESERVATION}/release")

    assert check_out().json["code"] == "order_pending"
    assert states() == [("pending", "none")]
    recover()
    assert states() == [("pending", "none")]
    others.on("POST", f"{RESERVATION}/release", {})
    recover()

    assert states() == [("failed", "failed")]


def test_stock_that_was_sold_though_nothing_is_paid_is_restocked(check_out, card, others, steps):
    card("sandbox_card_declined_1")
    others.refuse("POST", f"{RESERVATION}/release", 409, "It is sold.", "wrong_state")

    assert check_out().status_code == 402
    assert steps()[-3:] == ["release", "restock", "return"]


def test_a_repeated_request_finishes_what_a_killed_one_left(check_out, interrupt, app, charges):
    key = {"Idempotency-Key": "a-click"}
    interrupt("checkout.after_charge", lambda: check_out(key))
    with app.app_context():
        db.session.execute(sa.update(Order).values(leased_until=now()))
        db.session.commit()

    response = check_out(key)

    assert (response.status_code, response.json["status"]) == (201, "confirmed")
    assert len(charges()) == 1


def test_the_history_says_who_did_what_when_and_why(check_out, client, alice):
    order = check_out().json
    cancelled = client.delete(f"/orders/{order['id']}/cancel", headers=alice).json

    steps = [(e["actor"], e["axis"], e["before"], e["after"], e["reason"]) for e in cancelled["history"]]
    assert steps == [
        ("order-service", "status", "pending", "confirmed", "paid, and the stock is sold"),
        ("order-service", "payment_status", "none", "paid", "charged by the provider"),
        ("alice", "status", "confirmed", "cancelled", "cancelled on request"),
        ("order-service", "payment_status", "paid", "refunded", "the order was cancelled"),
    ]
    assert all(event["created_at"].endswith("Z") for event in cancelled["history"])


def test_who_settles_an_order_at_the_same_moment_as_another_changes_nothing(app, check_out, interrupt):
    interrupt("checkout.after_charge", check_out)
    with app.app_context():
        ours = leases.take_over(now() + timedelta(minutes=3), timedelta(minutes=2))
        with db.engine.begin() as another:
            another.execute(sa.update(Order.__table__).values(status="confirmed", payment_status="paid"))

        app.extensions["settlement"].settle(ours)

        assert (ours.status, ours.payment_status, ours.history) == ("confirmed", "paid", [])


class TestEvents:
    @pytest.fixture
    def told(self, app):
        def told():
            outbox = db.metadata.tables["outbox"]
            with app.app_context():
                rows = db.session.execute(sa.select(outbox.c.name, outbox.c.target, outbox.c.payload)).all()
            return sorted((row.name, row.target) for row in rows)

        return told

    def test_a_confirmed_order_is_told_to_those_who_want_to_know(self, check_out, told):
        check_out()

        listeners = ("cart-service", "customer-support-service", "product-service")
        assert told() == [("order.confirmed", each) for each in listeners]

    def test_a_cancelled_or_delivered_one_too(self, check_out, client, alice, admin, told):
        one, other = check_out().json, check_out().json
        client.delete(f"/orders/{one['id']}/cancel", headers=alice)
        for status in ("processing", "shipped", "delivered"):
            client.put(f"/orders/{other['id']}", json={"status": status}, headers=admin)

        assert {name for name, _ in told()} == {"order.confirmed", "order.cancelled", "order.delivered"}

    def test_a_failed_one_is_nobodys_business(self, check_out, card, told):
        card("sandbox_card_declined_1")
        check_out()

        assert told() == []
