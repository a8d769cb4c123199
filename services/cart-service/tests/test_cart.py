from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import flask_migrate
import pytest
import requests
import sqlalchemy as sa

from shopkit import migrate

A_LAMP = {"id": 2, "name": "Desk Lamp", "image_url": None, "price": 19.99, "stock": 10}


class TestLooking:
    def test_an_empty_cart_asks_nobody_for_prices(self, client, newcomer, network):
        response = client.get("/cart", headers=newcomer)

        assert response.status_code == 200
        assert response.json == {
            "id": 1,
            "version": 0,
            "items": [],
            "in_checkout": None,
            "total": 0,
            "currency": "USD",
            "has_problems": False,
        }
        assert network.calls == [("POST", "/validate")]

    def test_a_cart_shows_what_is_in_it_at_todays_prices(self, seeded, client, alice, shelf):
        shelf[2]["price"] = 24.5

        cart = client.get("/cart", headers=alice).json

        assert cart == {
            "id": 1,
            "version": 0,
            "in_checkout": None,
            "items": [
                {
                    "id": 1,
                    "product_id": 2,
                    "product_name": "Desk Lamp",
                    "product_image": "/images/2.svg",
                    "price": 24.5,
                    "quantity": 1,
                    "subtotal": 24.5,
                    "problems": [],
                },
                {
                    "id": 2,
                    "product_id": 5,
                    "product_name": "Mug",
                    "product_image": None,
                    "price": 7,
                    "quantity": 2,
                    "subtotal": 14,
                    "problems": [],
                },
            ],
            "total": 38.5,
            "currency": "USD",
            "has_problems": False,
        }

    def test_sums_are_exact(self, client, alice, put_in, shelf):
        shelf[5]["price"] = 0.1
        put_in(2, 3)
        put_in(5, 3)

        cart = client.get("/cart", headers=alice)

        assert [item["subtotal"] for item in cart.json["items"]] == [59.97, 0.3]
        assert '"total":60.27' in cart.text

    def test_one_call_asks_for_all_prices_on_behalf_of_the_caller(self, seeded, client, alice, shelf, network):
        client.get("/cart", headers=alice)

        assert network.calls == [("POST", "/validate"), ("GET", "/products")]
        assert network.requests[-1].headers["Authorization"] == alice["Authorization"]

    def test_everybody_has_a_cart_of_their_own(self, put_in, quantities, bob):
        put_in(2)

        assert quantities(bob) == {}


class TestProblems:
    @pytest.fixture
    def cart(self, client, alice):
        return lambda: client.get("/cart", headers=alice).json

    def test_a_price_that_is_not_what_the_buyer_saw_is_said_and_what_it_was(self, put_in, shelf, cart):
        put_in(2)
        put_in(5)
        shelf[2]["price"] = 24.5

        changed = cart()

        assert [item["problems"] for item in changed["items"]] == [
            [
                {
                    "code": "price_changed",
                    "message": "The price of Desk Lamp has changed.",
                    "seen_price": 19.99,
                    "since": None,
                }
            ],
            [],
        ]
        assert (changed["has_problems"], changed["total"]) == (True, 31.5)

    def test_looking_at_a_new_price_does_not_accept_it(self, put_in, shelf, cart):
        put_in(2)
        shelf[2]["price"] = 24.5

        assert cart() == cart()
        assert cart()["has_problems"]

    def test_a_price_that_is_back_where_it_was_is_no_problem(self, put_in, shelf, cart):
        put_in(2)
        shelf[2]["price"] = 24.5
        cart()
        shelf[2]["price"] = 19.99

        assert not cart()["has_problems"]

    @pytest.mark.parametrize("quantity", [1, 2])
    def test_saying_how_many_accepts_the_new_price(self, put_in, shelf, cart, client, alice, quantity):
        item_id = put_in(2).json["items"][0]["id"]
        shelf[2]["price"] = 24.5

        changed = client.put(f"/cart/items/{item_id}", json={"quantity": quantity}, headers=alice).json

        assert not changed["has_problems"]
        assert changed == cart()

    def test_adding_more_accepts_the_new_price_of_that_product_only(self, put_in, shelf):
        put_in(2)
        put_in(5)
        shelf[2]["price"], shelf[5]["price"] = 24.5, 8

        changed = put_in(2).json

        assert [[problem["code"] for problem in item["problems"]] for item in changed["items"]] == [
            [],
            ["price_changed"],
        ]

    def test_a_change_that_is_refused_accepts_nothing(self, put_in, shelf, cart):
        put_in(2)
        shelf[2]["price"] = 24.5

        assert put_in(2, 10).status_code == 409
        assert cart()["items"][0]["problems"][0]["seen_price"] == 19.99

    def test_too_few_are_said_with_what_is_left_and_the_total_stays_that_of_what_is_wanted(self, put_in, shelf, cart):
        put_in(2, 4)
        shelf[2]["stock"] = 3

        changed = cart()

        assert changed["items"][0]["problems"] == [
            {
                "code": "quantity_reduced",
                "message": "You want 4 of Desk Lamp, and 3 are available.",
                "available": 3,
            }
        ]
        assert (changed["items"][0]["quantity"], changed["items"][0]["subtotal"]) == (4, 79.96)
        assert (changed["has_problems"], changed["total"]) == (True, 79.96)

    def test_none_left_is_said(self, put_in, shelf, cart):
        put_in(2, 4)
        shelf[2]["stock"] = 0

        changed = cart()

        assert changed["items"][0]["problems"] == [
            {"code": "out_of_stock", "message": "Desk Lamp is out of stock.", "since": None},
        ]
        assert (changed["has_problems"], changed["total"]) == (True, 79.96)

    def test_just_enough_is_no_problem(self, put_in, shelf, cart):
        put_in(2, 4)
        shelf[2]["stock"] = 4

        assert not cart()["has_problems"]

    def test_an_item_can_have_several(self, put_in, shelf, cart):
        put_in(2, 4)
        shelf[2] |= {"stock": 0, "price": 24.5}

        codes = [problem["code"] for problem in cart()["items"][0]["problems"]]

        assert codes == ["price_changed", "out_of_stock"]

    def test_what_was_put_in_before_prices_were_remembered_has_not_changed(self, seeded, shelf, cart):
        shelf[2]["price"] = 24.5

        assert not cart()["has_problems"]

    def test_what_an_older_cart_holds_stays_in_it(self, settings, network, shelf, alice):
        app, db = import_module("app").create_app(settings, network), import_module("models").db
        with app.app_context():
            migrate.init_app(app)
            flask_migrate.upgrade(revision="0001")
            db.session.execute(sa.text("INSERT INTO cart_items (user_id, product_id, quantity) VALUES (1, 2, 3)"))
            db.session.commit()
            migrate.to_newest(app)

        cart = app.test_client().get("/cart", headers=alice).json

        assert [(item["product_id"], item["quantity"], item["problems"]) for item in cart["items"]] == [(2, 3, [])]
        with app.app_context():
            db.engine.dispose()


class TestPuttingIn:
    def test_the_whole_cart_is_answered(self, put_in, client, alice):
        put_in(5)
        response = put_in(2, 3)

        assert response.status_code == 201
        assert response.json == client.get("/cart", headers=alice).json
        assert response.json["total"] == 66.97

    def test_one_is_put_in_if_nothing_else_is_said(self, shelf, client, alice, quantities):
        client.post("/cart/items", json={"product_id": 2}, headers=alice)

        assert quantities() == {2: 1}

    def test_the_same_product_adds_up(self, put_in):
        first = put_in(2, 3).json
        second = put_in(2, 4).json

        assert [item["quantity"] for item in second["items"]] == [7]
        assert second["items"][0]["id"] == first["items"][0]["id"]

    def test_what_is_sent_twice_with_one_key_is_put_in_once(self, shelf, client, alice, quantities):
        headers = {**alice, "Idempotency-Key": "a-click"}

        first, second = (client.post("/cart/items", json={"product_id": 2}, headers=headers) for _ in range(2))

        assert (first.status_code, second.status_code, second.data) == (201, 201, first.data)
        assert quantities() == {2: 1}

    def test_the_price_cannot_be_chosen(self, shelf, client, alice):
        response = client.post("/cart/items", json={"product_id": 2, "price": 0.01}, headers=alice)

        assert (response.status_code, response.json["errors"][0]["field"]) == (422, "price")

    def test_a_product_that_does_not_exist_is_a_404(self, put_in, quantities):
        response = put_in(77)

        assert (response.status_code, response.json["error"]) == (404, "There is no product 77.")
        assert quantities() == {}

    def test_more_than_the_stock_is_refused_with_what_is_available(self, put_in, quantities):
        put_in(2, 8)

        response = put_in(2, 3)

        assert (response.status_code, response.json["code"]) == (409, "out_of_stock")
        assert (response.json["available"], response.json["wanted"]) == (10, 11)
        assert response.json["error"] == "You want 11 of Desk Lamp, and 10 are available."
        assert quantities() == {2: 8}

    def test_all_of_the_stock_can_be_put_in(self, put_in):
        assert put_in(2, 10).status_code == 201

    def test_more_than_99_of_one_product_are_refused(self, put_in, quantities):
        put_in(5, 60)

        response = put_in(5, 40)

        assert (response.status_code, response.json["code"]) == (409, "too_many")
        assert quantities() == {5: 60}

    def test_a_full_cart_takes_more_of_what_is_in_it_but_nothing_new(self, put_in, fill, shelf, quantities):
        shelf.update({number: {**shelf[5], "id": number} for number in range(1001, 1101)})
        fill(dict.fromkeys(range(1001, 1101), 1))

        refused = put_in(2)

        assert (refused.status_code, refused.json["code"]) == (409, "cart_full")
        assert put_in(1001).status_code == 201
        assert quantities() == {**dict.fromkeys(range(1001, 1101), 1), 1001: 2}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("product_id", 0),
            ("product_id", 2**31),
            ("product_id", "lamp"),
            ("product_id", None),
            ("quantity", 0),
            ("quantity", -1),
            ("quantity", 100),
            ("quantity", 1.5),
            ("quantity", None),
            ("user_id", 2),
        ],
    )
    def test_a_field_that_does_not_validate_is_named(self, client, alice, field, value):
        response = client.post("/cart/items", json={"product_id": 2, field: value}, headers=alice)

        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]


class TestSayingHowMany:
    def test_the_whole_cart_is_answered(self, seeded, shelf, client, alice):
        response = client.put("/cart/items/1", json={"quantity": 10}, headers=alice)

        assert response.status_code == 200
        assert response.json == client.get("/cart", headers=alice).json
        assert [item["quantity"] for item in response.json["items"]] == [10, 2]

    def test_more_than_the_stock_is_refused_with_what_is_available(self, seeded, quantities, client, alice):
        response = client.put("/cart/items/1", json={"quantity": 11}, headers=alice)

        assert (response.status_code, response.json["code"]) == (409, "out_of_stock")
        assert (response.json["available"], response.json["wanted"]) == (10, 11)
        assert quantities() == {2: 1, 5: 2}

    def test_what_the_cart_showed_can_be_sent_back(self, put_in, client, alice):
        item = put_in(2, 3).json["items"][0]

        same = client.put(f"/cart/items/{item['id']}", json=item, headers=alice)
        more = client.put(f"/cart/items/{item['id']}", json={**item, "quantity": 4}, headers=alice)
        dearer = client.put(f"/cart/items/{item['id']}", json={**item, "quantity": 4, "price": 1}, headers=alice)

        assert (same.status_code, same.json["items"]) == (200, [item])
        assert more.json["items"][0]["quantity"] == 4
        assert (dearer.status_code, [error["field"] for error in dearer.json["errors"]]) == (422, ["price", "subtotal"])

    def test_none_takes_it_out(self, seeded, shelf, quantities, client, alice):
        response = client.put("/cart/items/1", json={"quantity": 0}, headers=alice)

        assert (response.status_code, [item["product_id"] for item in response.json["items"]]) == (200, [5])
        assert quantities() == {5: 2}

    def test_an_item_that_does_not_exist_is_a_404(self, shelf, client, alice):
        response = client.put("/cart/items/7", json={"quantity": 2}, headers=alice)

        assert (response.status_code, response.json["error"]) == (404, "There is no cart item 7.")

    @pytest.mark.parametrize("quantity", [100, -1, 1.5, "many", None])
    def test_a_quantity_that_does_not_validate_is_named(self, seeded, client, alice, quantity):
        response = client.put("/cart/items/1", json={"quantity": quantity}, headers=alice)

        assert (response.status_code, response.json["errors"][0]["field"]) == (422, "quantity")


class TestTakingOut:
    def test_an_item_can_be_taken_out_without_asking_for_prices(self, seeded, quantities, client, alice, network):
        assert client.delete("/cart/items/1", headers=alice).status_code == 204

        assert network.calls == [("POST", "/validate")]
        assert quantities() == {5: 2}
        assert client.delete("/cart/items/1", headers=alice).status_code == 404

    def test_a_cart_can_be_emptied_again_and_again(self, seeded, quantities, client, alice):
        assert client.delete("/cart", headers=alice).status_code == 204
        assert client.delete("/cart", headers=alice).status_code == 204
        assert quantities() == {}

    def test_emptying_a_cart_leaves_the_others_alone(self, seeded, quantities, client, bob):
        client.delete("/cart", headers=bob)

        assert quantities() == {2: 1, 5: 2}


class TestWhoMay:
    @pytest.mark.parametrize(("method", "body"), [("PUT", {"quantity": 3}), ("DELETE", None)])
    def test_somebody_elses_item_does_not_exist(self, seeded, quantities, client, bob, method, body):
        assert client.open("/cart/items/1", method=method, json=body, headers=bob).status_code == 404
        assert quantities() == {2: 1, 5: 2}

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/cart"),
            ("DELETE", "/cart"),
            ("POST", "/cart/items"),
            ("PUT", "/cart/items/1"),
            ("DELETE", "/cart/items/1"),
        ],
    )
    def test_carts_are_for_people_who_are_signed_in(self, client, service, method, path):
        assert client.open(path, method=method).status_code == 401
        assert client.open(path, method=method, headers=service).status_code == 403


class TestWithoutTheProductService:
    @pytest.mark.parametrize(("error", "status"), [(requests.ConnectionError, 502), (requests.ReadTimeout, 504)])
    def test_nothing_is_half_done(self, seeded, quantities, network, find, client, alice, error, status):
        network.down("GET", "/products", error)

        responses = [
            client.get("/cart", headers=alice),
            client.post("/cart/items", json={"product_id": 2}, headers=alice),
            client.put("/cart/items/1", json={"quantity": 5}, headers=alice),
        ]
        network.on("GET", "/products", answer=find)

        assert [response.status_code for response in responses] == [status] * 3
        assert quantities() == {2: 1, 5: 2}

    @pytest.mark.parametrize(
        "answer", [None, {"products": []}, [{"id": 2}], [{**A_LAMP, "price": 1.999}], [{**A_LAMP, "stock": -1}]]
    )
    def test_an_answer_that_makes_no_sense_is_its_fault(self, seeded, network, client, alice, answer):
        network.on("GET", "/products", answer)

        assert client.get("/cart", headers=alice).status_code == 502

    def test_we_are_not_ready(self, client, network):
        network.down("GET", "/health/live")

        response = client.get("/health")

        assert response.status_code == 503
        assert response.json["checks"]["product-service"] == "UpstreamFailed"


class TestAtTheSameMoment:
    @pytest.fixture
    def at_once(self, app, shelf, alice):
        """Put these products in Alice's cart at the same moment; says the answers."""

        def put_in(product_id):
            return app.test_client().post("/cart/items", json={"product_id": product_id}, headers=alice)

        def at_once(product_ids):
            with ThreadPoolExecutor(len(product_ids)) as pool:
                return list(pool.map(put_in, product_ids))

        return at_once

    def test_the_same_product_adds_up(self, at_once, quantities):
        responses = at_once([5] * 8)

        assert [response.status_code for response in responses] == [201] * 8
        assert sorted(response.json["items"][0]["quantity"] for response in responses) == list(range(1, 9))
        assert quantities() == {5: 8}

    def test_the_stock_is_not_exceeded(self, at_once, quantities, put_in):
        put_in(2, 6)

        statuses = sorted(response.status_code for response in at_once([2] * 8))

        assert statuses == [201] * 4 + [409] * 4
        assert quantities() == {2: 10}

    def test_no_more_than_a_hundred_different_products_get_in(self, at_once, fill, shelf, quantities):
        shelf.update({number: {**shelf[5], "id": number} for number in range(1001, 1105)})
        fill(dict.fromkeys(range(1001, 1097), 1))

        statuses = sorted(response.status_code for response in at_once(list(range(1097, 1105))))

        assert statuses == [201] * 4 + [409] * 4
        assert len(quantities()) == 100

    def test_a_product_that_goes_and_comes_back_takes_up_its_place(self, fill, shelf, find, network, app, put_in):
        import models

        def with_item(product_id, act):
            with app.app_context():
                act(models.db.session, models.locked_cart(1), product_id)
                models.db.session.commit()

        def take_out(session, cart, product_id):
            session.delete(session.scalar(models.db.select(models.CartItem).filter_by(product_id=product_id)))

        def put_back(session, cart, product_id):
            session.add(models.CartItem(cart_id=cart.id, product_id=product_id, quantity=1))

        moves = [((1001, take_out), (1100, put_back)), ((1001, put_back),)]

        def somebody_is_faster(request):
            for product_id, act in moves.pop(0) if moves else ():
                with_item(product_id, act)
            return find(request)

        shelf.update({number: {**shelf[5], "id": number} for number in range(1001, 1101)})
        fill(dict.fromkeys(range(1001, 1100), 1))
        network.on("GET", "/products", answer=somebody_is_faster)

        assert put_in(2).json["code"] == "cart_full"

    def test_a_change_spends_no_id_of_another_cart(self, put_in, client, alice, bob):
        for _ in range(3):
            put_in(5)

        first, second = (client.get("/cart", headers=who).json["id"] for who in (alice, bob))

        assert second == first + 1

    def test_twelve_different_products_all_get_in(self, at_once, shelf, quantities):
        shelf.update({number: {**shelf[5], "id": number} for number in range(1001, 1013)})

        responses = at_once(list(range(1001, 1013)))

        assert [response.status_code for response in responses] == [201] * 12
        assert quantities() == dict.fromkeys(range(1001, 1013), 1)

    def test_the_answer_knows_what_came_in_while_prices_were_asked_for(self, find, network, put_in, fill):
        def somebody_is_faster(request):
            network.on("GET", "/products", answer=find)
            fill({5: 1})
            return find(request)

        network.on("GET", "/products", answer=somebody_is_faster)
        response = put_in(2)

        assert response.status_code == 201
        assert [item["product_id"] for item in response.json["items"]] == [5, 2]

    def test_a_cart_that_never_stands_still_is_a_conflict_in_the_end(self, put_in, monkeypatch):
        import itertools

        import shopping

        others = itertools.count(1000)
        monkeypatch.setattr(shopping, "products_of", lambda _: {next(others)})  # somebody is always faster

        response = put_in(2)

        assert (response.status_code, response.json["code"]) == (409, "changed_meanwhile")


def test_seeding_twice_changes_nothing(seeded, quantities):
    import seed

    with seeded.app_context():
        seed.seed()

    assert quantities() == {2: 1, 5: 2}


def test_the_api_describes_the_sums(client):
    schemas = client.get("/openapi.json").json["components"]["schemas"]

    assert "total" in schemas["CartOut"]["properties"]
    assert "has_problems" in schemas["CartOut"]["properties"]
    assert {"subtotal", "problems"} <= schemas["ItemOut"]["properties"].keys()
