from importlib import import_module
from uuid import uuid4

import flask_migrate
import pytest
import sqlalchemy as sa

from shopkit import migrate

CHANGE = {"change": 3, "reason": "found behind the shelf"}
RECONCILIATION = "/products/reconciliation"


@pytest.fixture
def adjust(client, admin):
    def adjust(change, reason="counted again", by=client):
        return by.post("/products/1/stock", headers=admin, json={"change": change, "reason": reason})

    return adjust


@pytest.fixture
def ledger(client, admin):
    """The movements of a product, oldest first: (kind, change of what is on hand, change of what is reserved)."""

    def ledger(product_id=1):
        movements = client.get(f"/products/{product_id}/stock-movements", headers=admin).json
        return [(each["kind"], each["on_hand_change"], each["reserved_change"]) for each in reversed(movements)]

    return ledger


@pytest.fixture
def last(client, admin):
    """The last movement of a product."""
    return lambda product_id=1: client.get(f"/products/{product_id}/stock-movements", headers=admin).json[0]


@pytest.mark.usefixtures("the_books_balance")
class TestWhatIsWrittenDown:
    @pytest.mark.parametrize("stock", [5, 0])
    def test_a_new_product_begins_with_its_stock(self, add, last, stock):
        add(stock=stock)

        movement = last()

        assert movement == {
            "id": 1,
            "product_id": 1,
            "kind": "adjust",
            "on_hand_change": stock,
            "reserved_change": 0,
            "reservation_id": None,
            "reason": "opening stock",
            "actor_id": 4,
            "actor": "admin",
            "created_at": movement["created_at"],
        }
        assert movement["created_at"].endswith("Z")

    def test_the_demonstration_begins_with_its_stock(self, seeded, last):
        movement = last()

        assert (movement["kind"], movement["on_hand_change"]) == ("adjust", 120)
        assert (movement["actor_id"], movement["actor"]) == (0, "product-service")

    @pytest.mark.parametrize(
        ("verbs", "movements"),
        [
            ([], []),
            (["commit"], [("commit", -2, -2)]),
            (["release"], [("release", 0, -2)]),
            (["commit", "restock"], [("commit", -2, -2), ("restock", 2, 0)]),
        ],
    )
    def test_every_move_of_a_reservation_is_written_once(self, add, reserve, move, ledger, last, verbs, movements):
        add()
        reservation_id = reserve(p1=2).json["reservation_id"]
        for verb in verbs:
            for _ in range(2):
                move(reservation_id, verb)

        assert ledger() == [("adjust", 5, 0), ("reserve", 0, 2), *movements]
        assert (last()["reservation_id"], last()["reason"]) == (reservation_id, None)
        assert (last()["actor_id"], last()["actor"]) == (0, "a-service")

    def test_what_was_not_done_is_not_written(self, add, reserve, move, ledger):
        add()
        add()
        reserve(p1=1, p2=6)
        move(uuid4(), "release")

        assert ledger(1) == ledger(2) == [("adjust", 5, 0)]

    def test_every_reservation_that_expires_has_a_movement_of_our_own(self, add, reserve, expire, sweep, ledger, last):
        add()
        reserve(p1=2)
        reserve(p1=1)
        expire()
        sweep()

        assert sorted(ledger()[3:]) == [("release", 0, -2), ("release", 0, -1)]
        assert (last()["actor_id"], last()["actor"]) == (0, "product-service")

    def test_setting_the_stock_writes_the_difference(self, add, reserve, set_stock, ledger, last):
        add(stock=5)
        reserve(p1=2)

        set_stock(1, 10)

        assert ledger()[2:] == [("adjust", 7, 0)]
        assert (last()["reason"], last()["actor"]) == ("set by admin", "admin")

    @pytest.mark.parametrize("change", [{"name": "Sun"}, {"stock": 5}])
    def test_what_does_not_change_the_stock_is_not_written(self, client, add, admin, ledger, change):
        add(stock=5)

        client.put("/products/1", headers=admin, json=change)

        assert ledger() == [("adjust", 5, 0)]

    def test_a_change_that_is_refused_changes_no_stock(self, client, add, admin, ledger):
        add(stock=5, price=20)

        response = client.put("/products/1", headers=admin, json={"stock": 9, "old_price": 1})

        assert response.status_code == 422
        assert ledger() == [("adjust", 5, 0)]

    def test_the_difference_is_real_whatever_happens_at_the_same_moment(
        self, client, admin, add, reserve, move, set_stock, at_once
    ):
        add(stock=500)

        def act(client, n):
            if n % 2:
                while (answer := set_stock(1, 500 + n, by=client)).status_code != 200:
                    assert answer.status_code == 412
            else:
                move(reserve(by=client, p1=n + 1).json["reservation_id"], "commit", by=client)

        at_once(8, act)

        sold = 1 + 3 + 5 + 7
        movements = client.get("/products/1/stock-movements", headers=admin).json
        assert -sum(each["on_hand_change"] for each in movements if each["kind"] == "commit") == sold


@pytest.mark.usefixtures("the_books_balance")
class TestAdjusting:
    def test_it_changes_what_can_be_bought_and_says_why(self, add, adjust, last, on_shelf):
        product = add(stock=5)

        response = adjust(-2, " two were broken ")

        assert (response.status_code, response.json) == (200, {**product, "stock": 3})
        assert on_shelf(1) == (3, 0)
        assert (last()["on_hand_change"], last()["reason"]) == (-2, "two were broken")
        assert (last()["actor_id"], last()["actor"]) == (4, "admin")

    def test_what_is_reserved_cannot_be_taken_away(self, add, reserve, adjust, on_shelf):
        add(stock=5)
        reserve(p1=2)

        refused = adjust(-4)

        assert (refused.status_code, refused.json["code"], refused.json["available"]) == (409, "out_of_stock", 3)
        assert refused.json["error"] == "You want to take away 4 of Lamp, and 3 are available."
        assert on_shelf(1) == (5, 2)
        assert adjust(-3).json["stock"] == 0

    def test_the_shelf_is_not_endless(self, add, adjust, on_shelf):
        add(stock=5)

        response = adjust(1_000_000)

        assert (response.status_code, response.json["errors"][0]["field"]) == (422, "change")
        assert on_shelf(1) == (5, 0)
        assert adjust(999_995).json["stock"] == 1_000_000

    def test_several_at_once_add_up(self, add, adjust, at_once, on_shelf):
        add(stock=5)

        statuses = at_once(4, lambda client, _: adjust(-2, by=client).status_code)

        assert sorted(statuses) == [200, 200, 409, 409]
        assert on_shelf(1) == (1, 0)

    def test_a_change_that_is_sent_again_is_made_once(self, client, add, admin, on_shelf):
        add(stock=5)
        headers = {**admin, "Idempotency-Key": "count-of-monday"}

        answers = [client.post("/products/1/stock", headers=headers, json=CHANGE) for _ in range(2)]

        assert [each.json["stock"] for each in answers] == [8, 8]
        assert on_shelf(1) == (8, 0)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"change": 0}, "change"),
            ({"change": 1_000_001}, "change"),
            ({"change": -1_000_001}, "change"),
            ({"change": "1"}, "change"),
            ({"change": 1.5}, "change"),
            ({"change": None}, "change"),
            ({"reason": " "}, "reason"),
            ({"reason": "x" * 201}, "reason"),
            ({"reason": None}, "reason"),
            ({"stock": 5}, "stock"),
        ],
    )
    def test_a_field_that_does_not_validate_is_named(self, client, add, admin, body, field):
        add()

        response = client.post("/products/1/stock", headers=admin, json={**CHANGE, **body})

        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]

    def test_what_is_not_sold_is_a_404(self, client, add, admin, adjust):
        assert adjust(1).status_code == 404

        add()
        client.delete("/products/1", headers=admin)

        assert adjust(1).status_code == 404


class TestListing:
    def test_the_newest_come_first_in_pages(self, client, add, admin, adjust):
        add()
        for change in (1, 2, 3):
            adjust(change)

        response = client.get("/products/1/stock-movements?per_page=2&page=1", headers=admin)

        assert [each["on_hand_change"] for each in response.json] == [3, 2]
        assert response.headers["X-Total-Count"] == "4"

    def test_every_product_has_movements_of_its_own(self, add, reserve, ledger):
        add()
        add()
        reserve(p2=1)

        assert ledger(1) == [("adjust", 5, 0)]

    def test_those_of_what_is_no_longer_sold_remain(self, client, add, admin, ledger):
        add()
        client.delete("/products/1", headers=admin)

        assert ledger() == [("adjust", 5, 0)]

    def test_a_product_that_never_was_is_a_404(self, client, admin):
        assert client.get("/products/1/stock-movements", headers=admin).status_code == 404

    @pytest.mark.parametrize(("method", "path"), [("POST", "stock"), ("GET", "stock-movements")])
    def test_stock_is_for_administrators(self, client, add, alice, support, service, method, path):
        add()
        body = {"json": CHANGE} if method == "POST" else {}

        assert client.open(f"/products/1/{path}", method=method, **body).status_code == 401
        for somebody in (alice, support, service):
            assert client.open(f"/products/1/{path}", method=method, headers=somebody, **body).status_code == 403


class TestReconciliation:
    def test_a_shop_where_all_is_well_has_no_wrong_product(self, seeded, client, admin, reserve, move):
        for verb in ("commit", "release"):
            move(reserve(p1=1).json["reservation_id"], verb)
        reserve(p1=1, p2=3)

        found = client.get(RECONCILIATION, headers=admin).json

        assert found == {"products_wrong": [], "reservations": {"committed": 1, "held": 1, "released": 1}}

    @pytest.mark.parametrize(
        ("table", "column", "found"),
        [
            ("products", "on_hand", {"on_hand": 6}),
            ("products", "reserved", {"reserved": 3}),
            ("stock_movements", "on_hand_change", {"moved_on_hand": 7}),
            ("stock_movements", "reserved_change", {"moved_reserved": 4}),
            ("reservation_items", "quantity", {"held": 3}),
        ],
    )
    def test_whatever_does_not_fit_is_found(self, app, client, admin, add, reserve, table, column, found):
        import models

        add(stock=5)
        add()
        reserve(p1=2)
        with app.app_context():
            where = "id" if table == "products" else "product_id"
            models.db.session.execute(sa.text(f"UPDATE {table} SET {column} = {column} + 1 WHERE {where} = 1"))  # noqa: S608
            models.db.session.commit()

        wrong = client.get(RECONCILIATION, headers=admin).json["products_wrong"]

        right = {"on_hand": 5, "reserved": 2, "moved_on_hand": 5, "moved_reserved": 2, "held": 2}
        assert wrong == [{"product_id": 1, **right, **found}]

    def test_a_product_without_movements_is_found(self, app, client, admin, add):
        from models import db
        from stock.models import StockMovement

        add(stock=5)
        with app.app_context():
            db.session.execute(sa.delete(StockMovement))
            db.session.commit()

        wrong = client.get(RECONCILIATION, headers=admin).json["products_wrong"]

        assert [(each["on_hand"], each["moved_on_hand"]) for each in wrong] == [(5, 0)]

    def test_it_is_for_administrators_only(self, client, alice, support, service):
        assert client.get(RECONCILIATION).status_code == 401
        for somebody in (alice, support, service):
            assert client.get(RECONCILIATION, headers=somebody).status_code == 403


def test_what_an_older_shop_has_in_stock_is_the_first_movement(settings, network, admin):
    app, db = import_module("app").create_app(settings, network), import_module("models").db
    with app.app_context():
        migrate.init_app(app)
        flask_migrate.upgrade(revision="0001")
        db.session.execute(
            sa.text(
                "INSERT INTO products (name, description, category, search_text, image_url, price, on_hand, reserved,"
                " review_count, rating_sum, created_at)"
                " VALUES ('Lamp', '', 'light', 'lamp', '/images/parcel.svg', 2000, 5, 2, 0, 0, CURRENT_TIMESTAMP)"
            )
        )
        db.session.execute(
            sa.text(
                "INSERT INTO reservations (id, status, expires_at, created_at)"
                " VALUES ('r', 'held', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
            )
        )
        db.session.execute(sa.text("INSERT INTO reservation_items VALUES ('r', 1, 2, 2000)"))
        db.session.commit()

        migrate.to_newest(app)

    client = app.test_client()
    movements = client.get("/products/1/stock-movements", headers=admin).json
    assert [(each["kind"], each["on_hand_change"], each["reserved_change"]) for each in movements] == [("adjust", 5, 2)]
    assert (movements[0]["reason"], movements[0]["actor"]) == ("opening stock", "product-service")
    assert client.get(RECONCILIATION, headers=admin).json["products_wrong"] == []
    with app.app_context():
        db.engine.dispose()
