"""A page of orders with thousands of items waits for its turn, and an ordinary one never does."""

import uuid
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from models import db
from orders import long_pages
from orders.models import Order, OrderItem
from shopkit.slots import Slots

ORDINARY, LONG = 3, 21  # orders of a hundred items each, which are a page


@pytest.fixture
def bought(app, client, alice):
    """`bought(orders, items)`: alice has so many orders with so many items each."""

    moment = datetime.now(UTC)
    paid = {"status": "confirmed", "payment_status": "paid", "currency": "USD", "shipping_address": {}}
    card = {"payment_method_id": 1, "payment_brand": "visa", "payment_last_four": "4242"}
    moments = {"created_at": moment, "updated_at": moment, "leased_until": moment}

    def bought(orders, items):
        rows = [
            {"id": n, "user_id": 1, "reference": uuid.uuid4(), **paid, **card, **moments} for n in range(1, orders + 1)
        ]
        lines = [
            {"order_id": row["id"], "product_id": n, "product_name": f"P{n}", "price": n, "quantity": 2}
            for row in rows
            for n in range(1, items + 1)
        ]
        with app.app_context():
            db.session.execute(sa.insert(Order), rows)
            db.session.execute(sa.insert(OrderItem), lines)
            db.session.commit()
        return lambda query="": client.get(f"/orders?per_page=100{query}", headers=alice)

    return bought


@pytest.fixture
def no_slot(monkeypatch):
    slots = Slots(1, 0)
    monkeypatch.setattr(long_pages, "slots", slots)
    with slots:
        yield


@pytest.mark.parametrize("orders", [0, 1, ORDINARY])
def test_an_ordinary_page_never_waits(bought, no_slot, orders):
    answer = bought(orders, 100)() if orders else bought(1, 1)("&page=2")

    assert (answer.status_code, len(answer.json)) == (200, orders)


def test_a_long_page_is_asked_to_come_again_when_others_are_put_together(bought, no_slot):
    answer = bought(LONG, 100)()

    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "busy", "1")


@pytest.mark.parametrize("orders", [ORDINARY, LONG])
def test_each_order_of_a_page_has_its_own_items_in_their_order(bought, client, alice, orders):
    page = bought(orders, 100)().json

    assert [order["id"] for order in page] == list(range(orders, 0, -1))
    for order in page:
        assert [item["product_id"] for item in order["items"]] == list(range(1, 101))
        assert order["total_amount"] == sum(2 * n for n in range(1, 101)) / 100
    assert page[0] == client.get(f"/orders/{orders}", headers=alice).json


def test_a_slot_is_free_again_after_a_long_page(bought, monkeypatch):
    monkeypatch.setattr(long_pages, "slots", Slots(1, 0))
    page = bought(LONG, 100)

    assert [page().status_code for _ in range(3)] == [200] * 3


def test_a_page_is_read_in_as_few_statements_as_ever(app, bought):
    page, asked = bought(ORDINARY, 10), []
    with app.app_context():
        engine = db.engine

    def note(connection, cursor, statement, *_):
        asked.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    page()
    sa.event.remove(engine, "before_cursor_execute", note)

    # how many items, how many orders, orders, items, history
    assert len([each for each in asked if each.startswith("SELECT")]) == 5
