"""What came to nothing is forgotten in time, and the stock does not notice."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from shopkit import retention


@pytest.fixture
def sweep_in(app):
    """Sweep as if so many days had passed."""

    def sweep_in(days):
        with app.app_context():
            retention.sweep(lambda: datetime.now(UTC) + timedelta(days), lambda _: None)

    return sweep_in


@pytest.fixture
def statuses(app):
    """Of all reservations, by their ids."""
    from models import db
    from stock.models import Reservation

    def statuses():
        with app.app_context():
            return dict(db.session.execute(sa.select(Reservation.id, Reservation.status)).all())

    return statuses


@pytest.fixture
def histories(add, reserve, move, expire, sweep):
    """A reservation of each history, by the status that it came to."""
    add(stock=50)
    add(stock=50)
    ways = {
        "held": [],
        "committed": ["commit"],
        "restocked": ["commit", "restock"],
        "released": ["release"],
    }
    expired = reserve(p1=4, p2=1).json["reservation_id"]
    expire()
    sweep()
    made = {}
    for n, (status, verbs) in enumerate(ways.items()):
        made[status] = reserve(p1=n + 1, p2=2).json["reservation_id"]
        for verb in verbs:
            assert move(made[status], verb).status_code == 200
    never_came = str(uuid4())
    move(never_came, "release")
    return {**made, "expired": expired, "never came": never_came}


@pytest.mark.usefixtures("the_books_balance")
class TestReleased:
    def test_only_what_was_released_long_ago_goes(self, histories, sweep_in, statuses):
        before = statuses()

        sweep_in(89)
        assert statuses() == before

        sweep_in(90)
        assert statuses() == {histories[each]: each for each in ("held", "committed", "restocked")}

    def test_the_ledger_is_shorter_and_adds_up_to_the_same(self, client, admin, histories, sweep_in, on_shelf):
        shelf = on_shelf(1), on_shelf(2)

        sweep_in(91)

        movements = client.get("/products/1/stock-movements", headers=admin).json
        gone = {histories["released"], histories["expired"]}
        assert {each["reservation_id"] for each in movements}.isdisjoint(gone)
        assert (on_shelf(1), on_shelf(2)) == shelf
        sums = [sum(each[name] for each in movements) for name in ("on_hand_change", "reserved_change")]
        assert tuple(sums) == shelf[0]

    def test_what_stays_can_still_be_moved(self, histories, sweep_in, move):
        sweep_in(400)

        assert move(histories["held"], "commit").status_code == 200
        assert move(histories["committed"], "restock").status_code == 200
        assert move(histories["restocked"], "restock").status_code == 200
        assert move(histories["released"], "release").json["status"] == "released"

    def test_those_who_reserve_meanwhile_are_not_disturbed(self, add, reserve, move, at_once, sweep_in):
        add(stock=1000)
        for _ in range(120):
            move(reserve(p1=1).json["reservation_id"], "release")

        def act(client, n):
            if n == 0:
                return sweep_in(90)
            made = [reserve(by=client, p1=1) for _ in range(5)]
            return {each.status_code for each in made} | {
                move(each.json["reservation_id"], "commit", by=client).status_code for each in made
            }

        assert at_once(4, act)[1:] == [{200, 201}] * 3
