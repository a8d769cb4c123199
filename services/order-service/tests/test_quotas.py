"""How many orders of one person may come to nothing in a day, as they are kept for ever."""

import pytest
import sqlalchemy as sa

from checkout import checkout
from models import db
from orders.models import FAILED_OR_CANCELLED, Order
from shopkit import quotas
from shopkit.database import now


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(checkout, "FAILED_OR_CANCELLED_A_DAY", 2)


def _number(client, who):
    return int(client.get("/orders", headers=who).headers["X-Total-Count"])


def test_who_has_had_enough_orders_that_came_to_nothing_is_told_when_to_come_again(
    check_out, card, client, alice, charges, monkeypatch
):
    card("sandbox_card_declined_1")
    check_out()
    card("sandbox_succeeds_1")
    bought = check_out().json
    client.post(f"/orders/{bought['id']}/cancel", headers=alice)
    before = _number(client, alice), charges()

    refused = check_out({"Idempotency-Key": "again"})

    assert (refused.status_code, refused.json["code"]) == (429, "too_many_today")
    assert 24 * 3600 - 60 < int(refused.headers["Retry-After"]) <= 24 * 3600
    assert (_number(client, alice), charges()) == before
    monkeypatch.setattr(quotas, "now", lambda: now() + quotas.DAY)
    assert check_out({"Idempotency-Key": "again"}).status_code == 201


def test_what_is_paid_for_does_not_count(check_out, card):
    assert [check_out().status_code for _ in range(3)] == [201] * 3
    card("sandbox_card_declined_1")
    assert [check_out().status_code for _ in range(3)] == [402, 402, 429]


def test_a_repetition_is_answered_however_many_came_to_nothing(check_out, card):
    card("sandbox_card_declined_1")
    answers = [check_out({"Idempotency-Key": key}).status_code for key in ("one", "two", "one", "three")]

    assert answers == [402, 402, 402, 429]


def test_they_are_counted_by_an_index(app):
    with app.app_context():
        said = []
        sa.event.listen(db.engine, "before_cursor_execute", lambda *args: said.append(args[2:4]))
        quotas.one_more_today(Order, 1, 2, FAILED_OR_CANCELLED)
        statement, values = said[-1]
        if db.engine.dialect.name == "sqlite":  # PostgreSQL would scan so small a table
            plan = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            assert "ix_orders_for_nothing (user_id=? AND created_at>?)" in str(plan)
