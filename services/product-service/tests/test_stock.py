from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

RESERVATIONS = "/internal/reservations"

pytestmark = pytest.mark.usefixtures("the_books_balance")


def _items(**wanted):
    """`_items(p1=2)`: two of product 1."""
    return [{"product_id": int(name[1:]), "quantity": quantity} for name, quantity in wanted.items()]


@pytest.fixture(autouse=True)
def products(add):
    add(name="Lamp", price=19.99, stock=5, image_url="/images/desk-lamp.svg")
    add(name="Bowl", price=8, stock=2)


class TestReserving:
    def test_what_is_reserved_cannot_be_bought_by_others(self, client, reserve, on_shelf):
        reservation_id = uuid4()

        response = reserve(reservation_id, p1=2, p2=1)

        assert response.status_code == 201
        assert response.json == {
            "reservation_id": str(reservation_id),
            "status": "held",
            "expires_at": response.json["expires_at"],
            "items": [
                {
                    "product_id": 1,
                    "product_name": "Lamp",
                    "product_image": "/images/desk-lamp.svg",
                    "unit_price": 19.99,
                    "quantity": 2,
                },
                {
                    "product_id": 2,
                    "product_name": "Bowl",
                    "product_image": "/images/parcel.svg",
                    "unit_price": 8.0,
                    "quantity": 1,
                },
            ],
            "currency": "USD",
        }
        assert client.get("/products/1").json["stock"] == 3
        assert on_shelf(1) == (5, 2)

    def test_it_holds_for_as_long_as_was_asked(self, reserve):
        expires_at = datetime.fromisoformat(reserve(expires_in=60, p1=1).json["expires_at"])

        assert timedelta(seconds=50) < expires_at - datetime.now(UTC) < timedelta(seconds=61)

    def test_it_holds_for_a_quarter_of_an_hour_if_nothing_else_is_said(self, client, service):
        body = {"reservation_id": str(uuid4()), "items": _items(p1=1)}

        reserved = client.post(RESERVATIONS, headers=service, json=body).json

        held_for = datetime.fromisoformat(reserved["expires_at"]) - datetime.now(UTC)
        assert timedelta(seconds=890) < held_for < timedelta(seconds=901)

    def test_the_same_product_twice_adds_up(self, reserve, on_shelf):
        response = reserve(items=[*_items(p1=2), *_items(p1=1)])

        assert [item["quantity"] for item in response.json["items"]] == [3]
        assert on_shelf(1) == (5, 3)

    def test_if_something_lacks_nothing_is_reserved_and_all_that_lacks_is_named(self, client, admin, reserve, on_shelf):
        client.delete("/products/2", headers=admin)

        response = reserve(items=_items(p1=6, p2=1, p3=1))

        assert (response.status_code, response.json["code"]) == (409, "out_of_stock")
        assert response.json["items"] == [
            {"product_id": 1, "wanted": 6, "available": 5},
            {"product_id": 2, "wanted": 1, "available": 0},
            {"product_id": 3, "wanted": 1, "available": 0},
        ]
        assert on_shelf(1) == (5, 0)

    def test_one_that_lacks_leaves_the_others_alone(self, client, service, reserve, on_shelf):
        reservation_id = uuid4()

        response = reserve(reservation_id, p1=1, p2=3)

        assert response.json["items"] == [{"product_id": 2, "wanted": 3, "available": 2}]
        assert on_shelf(1) == (5, 0)
        assert client.get(f"{RESERVATIONS}/{reservation_id}", headers=service).status_code == 404

    def test_an_id_that_failed_may_be_tried_again(self, reserve):
        reservation_id = uuid4()
        reserve(reservation_id, p2=3)

        assert reserve(reservation_id, p2=2).status_code == 201

    def test_the_same_id_again_is_the_same_reservation_at_the_same_price(self, client, admin, reserve, on_shelf):
        reservation_id = uuid4()
        first = reserve(reservation_id, p1=2, p2=1)
        client.put("/products/1", headers=admin, json={"price": 99})

        again = reserve(reservation_id, items=_items(p2=1, p1=2))

        assert (again.status_code, again.json) == (200, first.json)
        assert on_shelf(1) == (5, 2)

    @pytest.mark.parametrize("other", [{"p1": 3}, {"p1": 2, "p2": 1}, {"p2": 2}])
    def test_the_same_id_for_other_items_is_refused(self, reserve, on_shelf, other):
        reservation_id = uuid4()
        reserve(reservation_id, p1=2)

        response = reserve(reservation_id, **other)

        assert (response.status_code, response.json["code"]) == (409, "reservation_differs")
        assert (on_shelf(1), on_shelf(2)) == ((5, 2), (2, 0))

    def test_the_writing_of_the_id_does_not_matter(self, reserve):
        reservation_id = str(uuid4())
        reserve(reservation_id, p1=1)

        assert reserve(reservation_id.upper(), p1=1).status_code == 200

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"reservation_id": "order 1"}, "reservation_id"),
            ({"items": []}, "items"),
            ({"items": _items(p1=0)}, "items.0.quantity"),
            ({"items": _items(p1=1001)}, "items.0.quantity"),
            ({"items": _items(p0=1)}, "items.0.product_id"),
            ({"items": [{"product_id": 1, "quantity": "1"}]}, "items.0.quantity"),
            ({"items": _items(**{f"p{n}": 1 for n in range(1, 102)})}, "items"),
            ({"expires_in": 59}, "expires_in"),
            ({"expires_in": 86_401}, "expires_in"),
            ({"user_id": 1}, "user_id"),
        ],
    )
    def test_a_field_that_does_not_validate_is_named(self, client, service, change, field):
        right = {"reservation_id": str(uuid4()), "items": _items(p1=1)}

        response = client.post(RESERVATIONS, headers=service, json={**right, **change})

        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]


class TestMoving:
    @pytest.mark.parametrize(
        ("verbs", "status", "shelf"),
        [
            (["commit"], "committed", (3, 0)),
            (["release"], "released", (5, 0)),
            (["commit", "restock"], "restocked", (5, 0)),
            (["commit", "commit"], "committed", (3, 0)),
            (["release", "release"], "released", (5, 0)),
            (["commit", "restock", "restock"], "restocked", (5, 0)),
        ],
    )
    def test_the_stock_follows_and_a_repeated_move_changes_nothing(self, reserve, move, on_shelf, verbs, status, shelf):
        reserved = reserve(p1=2).json

        moved = [move(reserved["reservation_id"], verb) for verb in verbs]

        assert {each.status_code for each in moved} == {200}
        assert moved[-1].json == {**reserved, "status": status}
        assert on_shelf(1) == shelf

    @pytest.mark.parametrize(
        ("verbs", "impossible"),
        [
            ([], "restock"),
            (["commit"], "release"),
            (["release"], "commit"),
            (["release"], "restock"),
            (["commit", "restock"], "commit"),
            (["commit", "restock"], "release"),
        ],
    )
    def test_a_move_that_is_not_possible_is_refused(self, reserve, move, on_shelf, verbs, impossible):
        reservation_id = reserve(p1=2).json["reservation_id"]
        for verb in verbs:
            move(reservation_id, verb)
        before = on_shelf(1)

        response = move(reservation_id, impossible)

        assert (response.status_code, response.json["code"]) == (409, "wrong_state")
        assert on_shelf(1) == before

    def test_a_reservation_can_be_looked_at(self, client, service, reserve):
        reserved = reserve(p1=2).json

        response = client.get(f"{RESERVATIONS}/{reserved['reservation_id']}", headers=service)

        assert (response.status_code, response.json) == (200, reserved)

    def test_one_that_does_not_exist_is_a_404(self, client, service, move):
        for verb in ("commit", "restock"):
            assert move(uuid4(), verb).status_code == 404
        assert client.get(f"{RESERVATIONS}/{uuid4()}", headers=service).status_code == 404
        assert client.get(f"{RESERVATIONS}/1", headers=service).status_code == 404

    def test_what_is_no_longer_sold_can_still_be_delivered_and_come_back(self, client, admin, reserve, move, on_shelf):
        reservation_id = reserve(p1=2).json["reservation_id"]
        client.delete("/products/1", headers=admin)

        assert move(reservation_id, "commit").status_code == 200
        assert move(reservation_id, "restock").status_code == 200
        assert on_shelf(1) == (5, 0)


class TestAskingAgain:
    @pytest.mark.parametrize(("verbs", "status"), [([], "held"), (["commit"], "committed")])
    def test_what_is_held_or_sold_is_answered_with_its_status(self, reserve, move, on_shelf, verbs, status):
        reservation_id = reserve(p1=2).json["reservation_id"]
        for verb in verbs:
            move(reservation_id, verb)
        before = on_shelf(1)

        again = reserve(reservation_id, p1=2)

        assert (again.status_code, again.json["status"]) == (200, status)
        assert on_shelf(1) == before

    @pytest.mark.parametrize("verbs", [["release"], ["commit", "restock"]])
    @pytest.mark.parametrize("wanted", [{"p1": 2}, {"p2": 1}])
    def test_what_has_ended_does_not_pretend_to_be_held(self, reserve, move, on_shelf, verbs, wanted):
        reservation_id = reserve(p1=2).json["reservation_id"]
        for verb in verbs:
            move(reservation_id, verb)

        again = reserve(reservation_id, **wanted)

        assert (again.status_code, again.json["code"]) == (409, "reservation_ended")
        assert (on_shelf(1), on_shelf(2)) == ((5, 0), (2, 0))

    def test_what_has_expired_has_ended_before_and_after_the_sweep(self, reserve, expire, sweep):
        reservation_id = reserve(p1=2).json["reservation_id"]
        expire()
        before = reserve(reservation_id, p1=2)
        sweep()
        after = reserve(reservation_id, p1=2)

        assert (before.status_code, before.json["code"]) == (409, "reservation_ended")
        assert (after.status_code, after.json["code"]) == (409, "reservation_ended")


class TestReleasingWhatNeverArrived:
    def test_it_is_answered_as_released(self, client, service, move):
        reservation_id = str(uuid4())

        first, second = move(reservation_id, "release"), move(reservation_id, "release")

        assert first.status_code == 200
        assert first.json == second.json
        assert (first.json["reservation_id"], first.json["status"]) == (reservation_id, "released")
        assert first.json["items"] == []
        assert client.get(f"{RESERVATIONS}/{reservation_id}", headers=service).json == first.json

    def test_a_reserve_that_arrives_late_holds_nothing(self, reserve, move, on_shelf):
        reservation_id = uuid4()
        move(reservation_id, "release")

        late = reserve(reservation_id, p1=2)

        assert (late.status_code, late.json["code"]) == (409, "reservation_ended")
        assert on_shelf(1) == (5, 0)

    @pytest.mark.parametrize("verb", ["commit", "restock"])
    def test_it_can_neither_be_sold_nor_come_back(self, move, on_shelf, verb):
        reservation_id = uuid4()
        move(reservation_id, "release")

        response = move(reservation_id, verb)

        assert (response.status_code, response.json["code"]) == (409, "wrong_state")
        assert on_shelf(1) == (5, 0)

    def test_whoever_is_first_nothing_is_held_in_the_end(self, reserve, move, at_once, on_shelf):
        for _ in range(10):
            reservation_id = uuid4()

            def reserve_or_release(client, n, reservation_id=reservation_id):
                return reserve(reservation_id, by=client, p1=1) if n else move(reservation_id, "release", by=client)

            released, reserved = at_once(2, reserve_or_release)

            assert (released.status_code, released.json["status"]) == (200, "released")
            assert reserved.status_code in (201, 409)
            assert on_shelf(1) == (5, 0)


class TestCounting:
    def test_the_administrator_sets_what_can_be_bought_whatever_is_reserved(self, reserve, set_stock, on_shelf):
        reserve(p1=2)

        response = set_stock(1, 10)

        assert response.json["stock"] == 10
        assert on_shelf(1) == (12, 2)

    @pytest.mark.parametrize("values", [{"on_hand": -1}, {"reserved": -1}, {"reserved": 6}, {"old_price": 1}])
    def test_the_database_refuses_what_cannot_be(self, app, values):
        from catalogue.models import Product
        from models import db

        with app.app_context(), pytest.raises(IntegrityError):
            db.session.execute(sa.update(Product).where(Product.id == 1).values(**values))


class TestExpiry:
    def test_what_has_expired_can_be_bought_again(self, client, service, reserve, expire, sweep, on_shelf):
        late = reserve(p1=5).json["reservation_id"]
        expire()
        sweep()

        assert client.get(f"{RESERVATIONS}/{late}", headers=service).json["status"] == "released"
        assert on_shelf(1) == (5, 0)
        assert reserve(p1=5).status_code == 201

    def test_the_sweep_is_among_the_jobs_of_the_service(self, app):
        from stock import reservations

        assert [job.seconds for job in app.extensions["jobs"] if job.run is reservations.sweep] == [30]

    def test_one_that_was_released_by_time_cannot_be_committed(self, reserve, expire, sweep, move):
        late = reserve(p1=1).json["reservation_id"]
        expire()
        sweep()

        assert move(late, "commit").status_code == 409
        assert move(late, "release").status_code == 200

    def test_one_whose_time_is_over_but_that_nobody_released_may_be_committed(self, reserve, expire, move):
        late = reserve(p1=1).json["reservation_id"]
        expire()

        assert move(late, "commit").status_code == 200

    def test_what_was_sold_does_not_expire(self, reserve, expire, sweep, move, on_shelf):
        sold = reserve(p1=2).json["reservation_id"]
        move(sold, "commit")
        expire()
        sweep()

        assert on_shelf(1) == (3, 0)

    def test_what_holds_still_is_left_alone(self, reserve, sweep, on_shelf):
        reserve(p1=2)
        sweep()

        assert on_shelf(1) == (5, 2)

    def test_it_is_released_when_its_time_is_over_and_no_second_sooner(self, app, client, service, reserve, on_shelf):
        from stock import reservations

        held = reserve(p1=2).json["reservation_id"]
        expires_at = datetime.fromisoformat(client.get(f"{RESERVATIONS}/{held}", headers=service).json["expires_at"])
        with app.app_context():
            released = [
                reservations.release_expired(expires_at - timedelta(seconds=1)),
                reservations.release_expired(expires_at),
            ]

        assert released == [0, 1]
        assert on_shelf(1) == (5, 0)

    def test_no_more_than_a_bounded_number_is_released_at_once_the_oldest_first(
        self, app, reserve, on_shelf, monkeypatch
    ):
        from stock import reservations

        monkeypatch.setattr(reservations, "EXPIRED_AT_ONCE", 2)
        reserve(expires_in=300, p1=3)
        reserve(expires_in=100, p1=1)
        reserve(expires_in=200, p2=2)
        with app.app_context():
            reservations.release_expired(datetime.now(UTC) + timedelta(hours=1))

        assert (on_shelf(1), on_shelf(2)) == ((5, 3), (2, 0))

    def test_a_sweep_goes_on_until_nothing_is_left(self, reserve, expire, sweep, on_shelf, monkeypatch):
        from stock import reservations

        monkeypatch.setattr(reservations, "EXPIRED_AT_ONCE", 2)
        for _ in range(5):
            reserve(p1=1)
        expire()
        sweep()

        assert on_shelf(1) == (5, 0)

    def test_several_at_once_release_each_reservation_once(self, reserve, expire, sweep, at_once, on_shelf):
        for _ in range(5):
            reserve(p1=1)
        expire()

        at_once(4, sweep)

        assert on_shelf(1) == (5, 0)


class TestRaces:
    def test_of_two_buyers_of_the_last_one_exactly_one_wins(self, set_stock, reserve, at_once, on_shelf):
        set_stock(1, 1)

        answers = at_once(2, lambda client, _: reserve(by=client, p1=1))

        assert sorted(each.status_code for each in answers) == [201, 409]
        assert on_shelf(1) == (1, 1)

    def test_eight_who_race_for_twenty_sell_twenty(self, set_stock, reserve, move, at_once, on_shelf):
        set_stock(1, 20)

        def buy_until_it_is_gone(client, _):
            bought = 0
            while (reserved := reserve(by=client, p1=1)).status_code == 201:
                assert move(reserved.json["reservation_id"], "commit", by=client).status_code == 200
                bought += 1
            assert (reserved.status_code, reserved.json["code"]) == (409, "out_of_stock")
            return bought

        bought = at_once(8, buy_until_it_is_gone)

        assert sum(bought) == 20
        assert on_shelf(1) == (0, 0)

    def test_two_with_the_same_products_in_another_order_do_not_wait_for_each_other(self, reserve, at_once, on_shelf):
        orders = [_items(p1=1, p2=1), _items(p2=1, p1=1)]

        answers = at_once(2, lambda client, n: reserve(by=client, items=orders[n]))

        assert [each.status_code for each in answers] == [201, 201]
        assert (on_shelf(1), on_shelf(2)) == ((5, 2), (2, 2))

    def test_the_same_id_at_once_reserves_once(self, reserve, at_once, on_shelf):
        reservation_id = uuid4()

        answers = at_once(4, lambda client, _: reserve(reservation_id, by=client, p1=2))

        assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
        assert all(each.json == answers[0].json for each in answers)
        assert on_shelf(1) == (5, 2)

    @pytest.mark.parametrize("verb", ["commit", "release"])
    def test_the_same_move_at_once_moves_once(self, reserve, move, at_once, on_shelf, verb):
        reservation_id = reserve(p1=2).json["reservation_id"]

        answers = at_once(4, lambda client, _: move(reservation_id, verb, by=client))

        assert {each.status_code for each in answers} == {200}
        assert on_shelf(1) == {"commit": (3, 0), "release": (5, 0)}[verb]

    def test_commit_and_release_at_once_are_never_both_done(self, reserve, move, at_once, on_shelf):
        reservation_id = reserve(p1=2).json["reservation_id"]
        verbs = ["commit", "release"]

        answers = at_once(2, lambda client, n: move(reservation_id, verbs[n], by=client))

        done = [verb for verb, answer in zip(verbs, answers, strict=True) if answer.status_code == 200]
        assert sorted(each.status_code for each in answers) == [200, 409]
        assert on_shelf(1) == {"commit": (3, 0), "release": (5, 0)}[done[0]]


@pytest.mark.parametrize("path", ["", *(f"/{UUID(int=1)}{verb}" for verb in ("", "/commit", "/release", "/restock"))])
def test_stock_is_for_services_only(client, alice, admin, path):
    method = "POST" if path == "" or path.count("/") == 2 else "GET"

    assert client.open(RESERVATIONS + path, method=method).status_code == 401
    for somebody in (alice, admin):
        assert client.open(RESERVATIONS + path, method=method, headers=somebody).status_code == 403
