import pytest
import requests
import sqlalchemy as sa

from models import db
from orders.models import Order
from orders.moves import move, move_payment
from orders.states import OrderStatus, PaymentStatus
from shopkit import prepare
from shopkit.errors import Conflict

STEPS = ["processing", "shipped", "delivered"]

# What people may count on, spelt out once more: who changes a table in the code must mean it.
MOVES = {
    ("pending", "confirmed"),
    ("pending", "failed"),
    ("confirmed", "processing"),
    ("confirmed", "cancelled"),
    ("processing", "shipped"),
    ("processing", "cancelled"),
    ("shipped", "delivered"),
}
MOVES_OF_PAYMENTS = {("none", "paid"), ("none", "failed"), ("paid", "refunded")}


@pytest.fixture
def order(check_out):
    """Alice's confirmed order."""
    return check_out().json


@pytest.fixture
def put_status(client, admin):
    def put_status(order, status, headers=admin):
        return client.put(f"/orders/{order['id']}", json={"status": status}, headers=headers)

    return put_status


@pytest.mark.parametrize("before", OrderStatus)
@pytest.mark.parametrize("after", OrderStatus)
def test_a_status_moves_only_as_people_may_count_on(app, seeded, before, after):
    with app.app_context():
        order = db.session.get(Order, 1)
        order.status = before
        db.session.commit()
        if (before, after) in MOVES:
            move(order, after, "admin", "because")
            assert order.status == after
        else:
            with pytest.raises(Conflict, match=f"A {before} order cannot become {after}"):
                move(order, after, "admin", "because")


@pytest.mark.parametrize("before", PaymentStatus)
@pytest.mark.parametrize("after", PaymentStatus)
def test_a_payment_moves_only_as_people_may_count_on(app, seeded, before, after):
    with app.app_context():
        order = db.session.get(Order, 1)
        order.payment_status = before
        db.session.commit()
        if (before, after) in MOVES_OF_PAYMENTS:
            move_payment(order, after, "admin", "because")
            assert order.payment_status == after
        else:
            with pytest.raises(Conflict):
                move_payment(order, after, "admin", "because")


def test_of_two_who_move_an_order_one_is_told_that_it_has_changed(app, order):
    with app.app_context():
        seen = db.session.get(Order, order["id"])
        db.session.expunge(seen)
        db.session.commit()
        move(db.session.get(Order, order["id"]), OrderStatus.PROCESSING, "admin", "because")
        db.session.commit()

        with pytest.raises(Conflict, match="has changed"):
            move(seen, OrderStatus.PROCESSING, "admin", "because")


def test_staff_sees_an_order_through(order, put_status, support):
    for status in STEPS:
        response = put_status(order, status, support)

        assert (response.status_code, response.json["status"]) == (200, status)


def test_the_allowed_actions_are_those_of_whoever_asks(order, client, alice, admin, put_status):
    def actions(headers):
        return client.get(f"/orders/{order['id']}", headers=headers).json["allowed_actions"]

    assert (actions(alice), actions(admin)) == (["cancel"], ["process", "cancel"])
    put_status(order, "processing")
    put_status(order, "shipped")
    assert (actions(alice), actions(admin)) == ([], ["deliver"])


@pytest.mark.parametrize("status", ["shipped", "confirmed", "pending", "failed"])
def test_a_move_that_the_table_does_not_have_is_a_409(order, put_status, status):
    response = put_status(order, status)

    assert (response.status_code, response.json["code"]) == (409, "wrong_status")
    assert response.json["status_now"] == "confirmed"


def test_an_unknown_status_is_a_422(order, put_status):
    assert put_status(order, "lost").json["errors"][0]["field"] == "status"


def test_a_customer_may_only_cancel(order, put_status, alice):
    assert put_status(order, "delivered", alice).status_code == 403
    assert put_status(order, "cancelled", alice).json["status"] == "cancelled"


@pytest.mark.parametrize("method", ["post", "delete"])
def test_cancelling_gives_the_money_back_and_restocks(order, client, alice, others, charges, method):
    response = getattr(client, method)(f"/orders/{order['id']}/cancel", headers=alice)

    assert response.status_code == 200
    assert (response.json["status"], response.json["payment_status"]) == ("cancelled", "refunded")
    assert charges() == [(5099, None, True)]
    assert others.calls[-1][1].endswith("/restock")


def test_cancelling_again_is_answered_the_same_and_does_nothing(order, client, alice, others):
    answers = [client.delete(f"/orders/{order['id']}/cancel", headers=alice) for _ in range(3)]

    assert [(each.status_code, each.data) for each in answers] == [(200, answers[0].data)] * 3
    assert sum(path.endswith("/restock") for _, path in others.calls) == 1


@pytest.mark.parametrize("reached", [2, 3])
def test_what_has_been_shipped_cannot_be_cancelled(order, client, alice, put_status, charges, reached):
    for status in STEPS[:reached]:
        put_status(order, status)

    assert client.delete(f"/orders/{order['id']}/cancel", headers=alice).status_code == 409
    assert charges() == [(5099, None, False)]


def test_a_cancellation_that_was_interrupted_is_finished_by_asking_again(order, client, alice, others, charges):
    others.down("POST", "/internal/reservations/*/restock", requests.ConnectionError)
    assert client.delete(f"/orders/{order['id']}/cancel", headers=alice).status_code == 502

    others.on("POST", "/internal/reservations/*/restock", {})
    response = client.delete(f"/orders/{order['id']}/cancel", headers=alice)

    assert (response.json["status"], response.json["payment_status"]) == ("cancelled", "refunded")
    assert charges() == [(5099, None, True)]


def test_orders_come_newest_first_page_by_page(check_out, client, alice):
    ids = [check_out().json["id"] for _ in range(3)]

    page = client.get("/orders?per_page=2", headers=alice)

    assert [order["id"] for order in page.json] == [ids[2], ids[1]]
    assert page.headers["X-Total-Count"] == "3"
    assert 'rel="next"' in page.headers["Link"]
    assert [order["id"] for order in client.get("/orders?per_page=2&page=2", headers=alice).json] == [ids[0]]
    assert client.get("/orders?page=9", headers=alice).json == []


def test_orders_can_be_asked_for_by_status(check_out, client, alice, put_status):
    first, _ = check_out().json, check_out()
    put_status(first, "processing")

    found = client.get("/orders?status=processing", headers=alice).json

    assert [order["id"] for order in found] == [first["id"]]
    assert client.get("/orders?status=lost", headers=alice).status_code == 422


def test_one_sees_only_ones_own_orders_and_staff_sees_all(seeded, client, alice, bob, support):
    def owners(headers, query=""):
        return [order["user_id"] for order in client.get(f"/orders{query}", headers=headers).json]

    assert (owners(alice), owners(bob), owners(support)) == ([1, 1], [2], [2, 1, 1])
    assert (owners(support, "?user_id=1"), owners(bob, "?user_id=1")) == ([1, 1], [])


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/orders/1"), ("put", "/orders/1"), ("delete", "/orders/1/cancel"), ("post", "/orders/1/cancel")],
)
def test_somebody_elses_order_is_a_404(seeded, client, bob, method, path):
    body = {"json": {"status": "cancelled"}} if method == "put" else {}

    assert getattr(client, method)(path, headers=bob, **body).status_code == 404


@pytest.mark.parametrize("order_id", [999, 2**31, 2**80, "one"])
def test_an_order_that_does_not_exist_is_a_404(client, alice, order_id):
    assert client.get(f"/orders/{order_id}", headers=alice).status_code == 404


def test_a_stranger_is_asked_to_sign_in(client):
    response = client.get("/orders")

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


class TestTransactions:
    @pytest.fixture
    def after_last_commit(self, app):
        """`after_last_commit(request)` sends it, and says what the orders' database was asked after its last commit."""

        def after_last_commit(send):
            asked = []

            def note_statement(connection, cursor, statement, *_):
                asked.append(statement)

            def note_commit(_):
                asked.append("COMMIT")

            with app.app_context():
                engine = db.engine
            sa.event.listen(engine, "before_cursor_execute", note_statement)
            sa.event.listen(engine, "commit", note_commit)
            assert send().status_code in (200, 201)
            sa.event.remove(engine, "before_cursor_execute", note_statement)
            sa.event.remove(engine, "commit", note_commit)
            return asked[len(asked) - asked[::-1].index("COMMIT") :]

        return after_last_commit

    def test_a_checkout_reads_nothing_after_its_commit(self, check_out, after_last_commit):
        assert after_last_commit(check_out) == []

    def test_a_move_reads_nothing_after_its_commit(self, order, put_status, after_last_commit):
        assert after_last_commit(lambda: put_status(order, "processing")) == []

    def test_a_cancellation_reads_nothing_after_its_commit(self, order, client, alice, after_last_commit):
        cancel = f"/orders/{order['id']}/cancel"

        assert after_last_commit(lambda: client.delete(cancel, headers=alice)) == []
        assert after_last_commit(lambda: client.delete(cancel, headers=alice)) == []


def test_seeding_twice_changes_nothing(seeded, client, support):
    with seeded.app_context():
        prepare.fill(seeded)

    assert len(client.get("/orders", headers=support).json) == 3
