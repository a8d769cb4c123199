"""Orders and the ledger of the payments are compared, and whoever moves an order looks at what it was settled to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from models import db
from orders.models import Order, OrderEvent, OrderItem
from payments import sandbox
from shopkit.database import now
from shopkit.errors import Conflict
from shopkit.slots import Slots


@pytest.fixture
def reconcile(client, admin):
    def reconcile(query=""):
        response = client.get(f"/orders/reconciliation{query}", headers=admin)
        assert response.status_code == 200, response.text
        return response.json

    return reconcile


@pytest.fixture
def write(app):
    """Change all orders behind everybody's back."""

    def write(**values):
        with app.app_context():
            db.session.execute(sa.update(Order).values(**values))
            db.session.commit()

    return write


def test_a_shop_whose_books_agree_has_no_contradiction(check_out, card, client, alice, reconcile):
    check_out()
    client.delete(f"/orders/{check_out().json['id']}/cancel", headers=alice)
    card("sandbox_card_declined_1")
    check_out()
    card("sandbox_timeout_not_charged_1")
    check_out()

    found = reconcile()

    assert (found["orders"], found["charges"], found["in_progress"]) == (4, 3, 0)
    assert found["contradictions"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "failed", "payment_status": "none"},
        {"status": "failed", "payment_status": "refunded"},
        {"status": "cancelled", "payment_status": "refunded"},
        {"payment_status": "none"},
    ],
)
def test_money_that_is_kept_for_no_live_order_is_found(check_out, write, reconcile, wrong):
    check_out()
    write(**wrong)

    [found] = reconcile()["contradictions"]

    assert (found["order_id"], found["charged"], found["refunded"]) == (1, 50.99, False)
    assert {name: found[name] for name in wrong} == wrong


@pytest.mark.parametrize("token", ["sandbox_card_declined_1", "sandbox_timeout_not_charged_1"])
def test_an_order_that_lives_without_money_is_found(check_out, card, write, reconcile, token):
    card(token)
    check_out()
    write(status="delivered", payment_status="paid")

    assert [each["order_id"] for each in reconcile()["contradictions"]] == [1]


def test_another_amount_than_the_order_s_is_found(app, check_out, reconcile):
    check_out()
    with app.app_context():
        db.session.execute(sa.update(OrderItem).values(price=1))
        db.session.commit()

    [found] = reconcile()["contradictions"]

    assert (found["total_amount"], found["charged"]) == (0.03, 50.99)


def test_a_charge_without_an_order_is_found(app, check_out, reconcile):
    check_out()
    with app.app_context():
        for table in (OrderEvent, OrderItem, Order):
            db.session.execute(sa.delete(table))
        db.session.commit()

    [found] = reconcile()["contradictions"]

    assert (found["order_id"], found["charged"]) == (None, 50.99)


def test_what_somebody_still_works_on_is_counted_and_not_judged(check_out, others, reconcile):
    others.down("POST", "/internal/reservations/*/commit")
    check_out()

    assert (reconcile()["in_progress"], reconcile()["contradictions"]) == (1, [])


def test_only_the_last_days_are_looked_at(app, check_out, write, reconcile):
    check_out()
    write(status="failed", created_at=now() - timedelta(days=3))
    provider = app.extensions["payment_provider"]
    with app.app_context(), provider.engine.begin() as ledger:
        ledger.exec_driver_sql("UPDATE sandbox_ledger SET created_at = '2001-01-01 00:00:00'")

    assert (reconcile("?days=2")["orders"], reconcile("?days=2")["contradictions"]) == (0, [])
    assert reconcile("?days=4")["orders"] == 1


@pytest.mark.parametrize("order_is_later", [True, False])
def test_an_order_and_its_charge_on_both_sides_of_the_beginning_are_found_together(
    app, check_out, write, reconcile, order_is_later
):
    """The ledger has a clock of its own."""
    check_out()
    beginning, apart = now() - timedelta(days=1), timedelta(minutes=30 if order_is_later else -30)
    write(created_at=beginning + apart)
    provider = app.extensions["payment_provider"]
    with app.app_context(), provider.engine.connect() as ledger:
        ledger.execute(sa.update(sandbox.ledger).values(created_at=beginning - apart))

    assert reconcile("?days=1")["contradictions"] == []


def test_it_is_for_administrators(client, alice, support, service):
    for who in (alice, support, service):
        assert client.get("/orders/reconciliation", headers=who).status_code == 403


class TestPendingBelongsToTheCheckout:
    @pytest.mark.parametrize("status", ["pending", "confirmed", "processing", "shipped", "delivered", "failed"])
    def test_nobody_moves_it(self, others, client, admin, alice, check_out, reconcile, status):
        seen = []

        def meddle():
            for who in (admin, alice):
                seen.append(client.put("/orders/1", json={"status": status}, headers=who).status_code)
                seen.append(client.delete("/orders/1/cancel", headers=who).status_code)

        def reserve(_):
            with ThreadPoolExecutor(1) as somebody_else:
                somebody_else.submit(meddle).result()
            return 201, {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]}

        others.on("POST", "/internal/reservations", answer=reserve)

        assert check_out().status_code == 201
        assert seen == [409, 409, 403, 409]
        assert reconcile()["contradictions"] == []

    @pytest.mark.parametrize("status", ["confirmed", "failed", "pending"])
    def test_staff_never_decides_about_money(self, check_out, card, client, admin, status):
        card("sandbox_card_declined_1")
        check_out()

        response = client.put("/orders/1", json={"status": status}, headers=admin)

        assert (response.status_code, response.json["code"]) == (409, "wrong_status")
        assert client.get("/orders/1", headers=admin).json["allowed_actions"] == []

    def test_what_is_not_paid_goes_nowhere(self, check_out, write, client, admin):
        check_out()
        write(payment_status="none")

        assert client.get("/orders/1", headers=admin).json["allowed_actions"] == []
        for status in ("processing", "cancelled"):
            assert client.put("/orders/1", json={"status": status}, headers=admin).status_code == 409
        assert client.delete("/orders/1/cancel", headers=admin).status_code == 409


class TestSettledOtherwise:
    def test_an_order_that_failed_while_it_was_paid_is_refunded(self, check_out, others, write, states_of, charges):
        def fail_behind_our_back(_):
            write(status="failed")
            return 200, {}

        others.on("POST", "/internal/reservations/*/commit", answer=fail_behind_our_back)

        response = check_out()

        assert response.status_code == 409
        assert states_of(1) == ("failed", "refunded")
        assert charges() == [(5099, None, True)]
        assert any(path.endswith("/release") for _, path in others.calls)

    def test_an_order_that_failed_and_was_refunded_while_it_was_paid_is_not_sold(
        self, check_out, others, write, states_of, charges
    ):
        def fail_and_refund_behind_our_back(_):
            write(status="failed", payment_status="refunded")
            return 200, {}

        others.on("POST", "/internal/reservations/*/commit", answer=fail_and_refund_behind_our_back)

        response = check_out()

        assert response.status_code == 409
        assert states_of(1) == ("failed", "refunded")
        assert charges() == [(5099, None, True)]

    @pytest.fixture
    def states_of(self, client, admin):
        def states_of(order_id):
            order = client.get(f"/orders/{order_id}", headers=admin).json
            return order["status"], order["payment_status"]

        return states_of


class TestMoving:
    @pytest.fixture
    def order(self, check_out):
        return check_out().json

    @pytest.mark.parametrize("status", ["PROCESSING", "Processing", " processing "])
    def test_a_status_may_be_written_in_any_case(self, order, client, admin, alice, status):
        moved = client.put(f"/orders/{order['id']}", json={"status": status}, headers=admin)

        assert moved.json["status"] == "processing"
        assert len(client.get(f"/orders?status={status.strip().upper()}", headers=alice).json) == 1

    def test_what_the_order_showed_can_be_sent_back_with_another_status(self, order, client, admin):
        seen = client.get(f"/orders/{order['id']}", headers=admin).json

        cheaper = client.put(f"/orders/{order['id']}", json={**seen, "total_amount": 1}, headers=admin)
        moved = client.put(f"/orders/{order['id']}", json={**seen, "status": "processing"}, headers=admin)

        assert (cheaper.status_code, cheaper.json["errors"][0]["field"]) == (422, "total_amount")
        assert (moved.status_code, moved.json["status"]) == (200, "processing")

    def test_a_move_that_is_sent_twice_is_answered_twice_and_done_once(self, order, client, admin):
        answers = [client.put(f"/orders/{order['id']}", json={"status": "processing"}, headers=admin) for _ in range(2)]

        assert [each.status_code for each in answers] == [200, 200]
        assert answers[0].json == answers[1].json

    def test_several_cancellations_at_once_are_all_answered_with_the_one_result(self, app, order, alice, charges):
        def cancel(_):
            return app.test_client().delete(f"/orders/{order['id']}/cancel", headers=alice)

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(cancel, range(6)))

        assert [each.status_code for each in answers] == [200] * 6
        assert {(each.json["status"], each.json["payment_status"]) for each in answers} == {("cancelled", "refunded")}
        assert len(answers[0].json["history"]) == 4
        assert charges() == [(5099, None, True)]

    def test_of_a_cancellation_and_a_move_at_once_the_cancellation_follows_what_was_faster(self, app, order, alice):
        settlement = app.extensions["settlement"]
        with app.app_context():
            seen = db.session.get(Order, order["id"])
            db.session.commit()
            with db.engine.begin() as another:
                another.execute(sa.update(Order.__table__).values(status="processing"))

            settlement.cancel(seen, "alice", "cancelled on request")

            assert (seen.status, seen.payment_status) == ("cancelled", "refunded")

    def test_what_was_shipped_in_the_meantime_is_not_cancelled(self, app, order):
        with app.app_context():
            seen = db.session.get(Order, order["id"])
            db.session.commit()
            with db.engine.begin() as another:
                another.execute(sa.update(Order.__table__).values(status="shipped"))

            with pytest.raises(Conflict, match="A shipped order cannot become cancelled"):
                app.extensions["settlement"].cancel(seen, "alice", "cancelled on request")


def test_the_id_of_an_order_that_came_to_nothing_is_not_given_out_again(check_out, others):
    others.refuse("POST", "/internal/claims", 409, "Too late.", "cart_changed")
    check_out()
    others.on("POST", "/internal/claims", None, 201)

    assert check_out().json["id"] == 2


def test_the_books_are_compared_by_one_at_a_time(client, admin, monkeypatch):
    from payments import routes

    slots = Slots(1, places=0)
    monkeypatch.setattr(routes, "reconciling", slots)
    with slots:
        refused = client.get("/orders/reconciliation", headers=admin)

    assert (refused.status_code, refused.json["code"]) == (503, "busy")
    assert client.get("/orders/reconciliation", headers=admin).status_code == 200
