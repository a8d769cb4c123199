from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import requests

from models import db
from orders.models import Order
from shopkit.slots import Slots


def test_checkout_turns_the_cart_into_a_paid_order(check_out, charges):
    response = check_out()

    order = response.json
    assert response.status_code == 201
    assert (order["status"], order["payment_status"]) == ("confirmed", "paid")
    assert (order["total_amount"], order["currency"]) == (50.99, "USD")
    assert order["items"][0] == {
        "product_id": 1,
        "product_name": "Lamp",
        "product_image": "/images/lamp.svg",
        "price": 20.5,
        "quantity": 2,
        "subtotal": 41.0,
    }
    assert order["shipping_address"]["city"] == "Portland"
    assert (order["payment"]["brand"], order["payment"]["last_four"]) == ("visa", "4242")
    assert order["allowed_actions"] == ["cancel"]
    assert charges() == [(5099, None, False)]


def test_what_is_bought_is_claimed_in_the_cart_then_held_then_sold(check_out, others, steps):
    order = check_out().json

    assert steps() == ["claims", "reservations", "commit"]
    [claim] = others.sent("POST", "/internal/claims")
    assert UUID(claim.pop("reference"))
    assert claim == {"order_id": order["id"], "cart_id": 11, "version": 3}
    assert others.sent("POST", "/internal/reservations")[0]["items"] == [
        {"product_id": 1, "quantity": 2},
        {"product_id": 7, "quantity": 1},
    ]


def test_the_cart_is_asked_for_with_the_buyers_token_and_stock_with_our_own(check_out, others):
    check_out()

    tokens = {each.path_url: each.headers["Authorization"] for each in others.requests if each.path_url != "/token"}
    assert tokens["/cart"] == "Bearer alice"
    assert tokens["/internal/reservations"] == "Bearer order-service"


def test_who_looks_at_orders_never_waits_for_checkouts_and_too_many_of_these_come_again(
    check_out, client, alice, monkeypatch
):
    slots = Slots(1, 0)
    monkeypatch.setattr("checkout.checkout.checking_out", slots)
    with slots:
        refused = check_out()

        assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (503, "busy", "1")
        assert client.get("/orders", headers=alice).json == []
    assert check_out().status_code == 201


def test_checkouts_leave_threads_to_others():
    from checkout import checkout

    example = (Path(__file__).parents[1] / ".env.example").read_text()

    [threads] = [int(line.removeprefix("THREADS=")) for line in example.splitlines() if line.startswith("THREADS=")]
    assert threads >= checkout.AT_ONCE + checkout.WAITING + 8


def test_an_address_of_the_address_book_is_kept_as_it_was(check_out, others):
    others.on("GET", "/addresses/3", {"id": 3, "label": "", "address_line1": "9 Hill Road", "city": "Salem"})

    order = check_out(shipping_address=None, address_id=3).json

    assert order["shipping_address"] == {"address_line1": "9 Hill Road", "city": "Salem"}


@pytest.fixture
def address_book(others):
    """The default address comes first, as the profile service lists them."""
    home = {"id": 3, "label": "Home", "recipient": "Alice", "address_line1": "9 Hill Road", "city": "Salem"}
    home |= {"address_line2": "", "phone": "", "state": "", "postal_code": "97301", "country": "US", "is_default": True}
    others.on("GET", "/addresses", [home])
    return home


def test_without_an_address_it_goes_to_the_default_one(check_out, address_book):
    order = check_out(shipping_address=None).json

    assert order["shipping_address"]["address_line1"] == "9 Hill Road"
    assert "label" not in order["shipping_address"]


def test_without_an_address_and_a_default_one_the_field_is_named(check_out, others, charges):
    others.on("GET", "/addresses", [])

    response = check_out(shipping_address=None)

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "shipping_address")
    assert charges() == []


def test_an_entry_of_the_address_book_is_an_address(check_out, address_book):
    order = check_out(shipping_address=address_book).json

    assert order["shipping_address"]["postal_code"] == "97301"
    assert not {"id", "label", "is_default"} & order["shipping_address"].keys()


def test_an_address_may_be_one_line_of_text(check_out):
    order = check_out(shipping_address=" 123 Main St, Springfield, IL 62701 ").json

    assert order["shipping_address"]["address_line1"] == "123 Main St, Springfield, IL 62701"


def test_what_another_order_is_buying_is_not_bought_again_and_which_it_is_is_said(check_out, others, client, alice):
    in_checkout = {"order_id": 77, "items": []}
    others.on("GET", "/cart", {**others.answer_of("GET", "/cart"), "items": [], "in_checkout": in_checkout})

    response = check_out()

    assert (response.status_code, response.json["code"], response.json["order_id"]) == (409, "checkout_in_progress", 77)
    assert client.get("/orders", headers=alice).json == []


@pytest.mark.parametrize(
    ("code", "extra"), [("checkout_in_progress", {"order_id": 77}), ("cart_changed", {}), ("not_found", {})]
)
def test_who_claims_too_late_makes_no_order(check_out, others, client, alice, steps, code, extra):
    status = 404 if code == "not_found" else 409
    others.refuse("POST", "/internal/claims", status, "Too late.", code, **extra)

    response = check_out({"Idempotency-Key": "a-click"})

    assert (response.status_code, response.json["code"]) == (status, code)
    assert response.json.get("order_id") == extra.get("order_id")
    assert client.get("/orders", headers=alice).json == []
    assert steps() == ["claims"]
    others.on("POST", "/internal/claims", None, 201)
    assert check_out({"Idempotency-Key": "a-click"}).status_code == 201


def test_what_is_no_longer_sold_stops_the_checkout_and_is_named(check_out, others, charges):
    cart = others.answer_of("GET", "/cart")
    cart["items"][1]["problems"] = [{"code": "no_longer_sold", "message": "Cable is no longer sold."}]

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "no_longer_sold")
    assert response.json["items"] == [{"product_id": 7, "product_name": "Cable"}]
    assert charges() == []


def test_the_names_of_older_clients_are_understood(check_out):
    old = {"address": "12 Orchard Lane", "city": "Portland", "state": "OR", "zip_code": "97201", "country": "US"}

    order = check_out(shipping_address=old).json

    assert order["shipping_address"]["address_line1"] == "12 Orchard Lane"
    assert order["shipping_address"]["postal_code"] == "97201"


def test_an_empty_cart_cannot_be_checked_out(check_out, others, client, alice):
    others.on("GET", "/cart", {**others.answer_of("GET", "/cart"), "items": [], "total": 0})

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "cart_empty")
    assert client.get("/orders", headers=alice).json == []


@pytest.mark.parametrize(
    ("token", "code"),
    [("sandbox_card_declined_1", "card_declined"), ("sandbox_insufficient_funds_1", "insufficient_funds")],
)
def test_a_declined_card_is_a_402_and_stock_and_cart_are_as_before(check_out, card, steps, charges, token, code):
    card(token)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (402, code)
    assert steps() == ["claims", "reservations", "release", "return"]
    assert charges() == [(5099, code, False)]


def test_a_declined_order_is_failed_and_says_so(check_out, card, client, alice):
    card("sandbox_card_declined_1")
    check_out()

    order = client.get("/orders", headers=alice).json[0]

    assert (order["status"], order["payment_status"], order["allowed_actions"]) == ("failed", "failed", [])


def test_what_is_out_of_stock_is_said_and_nothing_is_charged(check_out, others, charges):
    lacking = [{"product_id": 1, "wanted": 2, "available": 1, "price": 20.5}]
    others.refuse("POST", "/internal/reservations", 409, "Not enough in stock.", "out_of_stock", items=lacking)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "out_of_stock")
    assert response.json["items"] == lacking
    assert charges() == []


@pytest.mark.parametrize(("price", "total"), [(21, 51.99), (20, 49.99)])
def test_a_price_that_changes_while_one_checks_out_stops_it_and_says_the_new_total(
    check_out, others, steps, charges, price, total
):
    prices = [{"product_id": 1, "unit_price": price}, {"product_id": 7, "unit_price": 9.99}]
    others.on("POST", "/internal/reservations", {"items": prices}, 201)

    response = check_out()

    assert (response.status_code, response.json["code"], response.json["total"]) == (409, "total_changed", total)
    assert steps()[-2:] == ["release", "return"]
    assert charges() == []


def test_prices_that_change_against_each_other_stop_it_too(check_out, others, charges):
    prices = [{"product_id": 1, "unit_price": 20}, {"product_id": 7, "unit_price": 10.99}]
    others.on("POST", "/internal/reservations", {"items": prices}, 201)

    assert check_out().json["code"] == "total_changed"
    assert charges() == []


def _make_lamps_dearer(others):
    """The buyer put them in at 20, and they cost 20.50 now."""
    cart = others.answer_of("GET", "/cart")
    cart["items"][0]["problems"] = [{"code": "price_changed", "message": "It costs more.", "seen_price": 20}]


def test_a_price_that_the_buyer_has_not_seen_stops_the_checkout(check_out, others, charges):
    _make_lamps_dearer(others)

    response = check_out()

    assert (response.status_code, response.json["code"], response.json["total"]) == (409, "total_changed", 50.99)
    assert charges() == []


def test_the_dearest_cart_can_be_bought_for_the_total_that_it_shows(check_out, others):
    cart = others.answer_of("GET", "/cart")
    cart["items"] = [{**cart["items"][0], "price": 10_000_000, "quantity": 99}]
    cart["total"] = 990_000_000
    others.on("POST", "/internal/reservations", {"items": [{"product_id": 1, "unit_price": 10_000_000}]}, 201)

    assert check_out(expected_total=990_000_000).json["total_amount"] == 990_000_000


@pytest.mark.parametrize(("expected", "status"), [(50.99, 201), (49.99, 409), (51, 409)])
def test_the_total_that_the_buyer_names_is_the_one_that_counts(check_out, others, expected, status):
    _make_lamps_dearer(others)

    assert check_out(expected_total=expected).status_code == status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/cart"), ("GET", "/internal/payment-methods/1"), ("POST", "/internal/reservations"), ("POST", "/token")],
)
@pytest.mark.parametrize(("error", "status"), [(requests.ConnectionError, 502), (requests.ReadTimeout, 504)])
def test_a_service_that_is_away_is_said_and_nothing_is_charged(check_out, others, charges, method, path, error, status):
    others.down(method, path, error)

    assert check_out().status_code == status
    assert charges() == []


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [
        ("GET", "/internal/payment-methods/2", {"payment_method_id": 2}),
        ("GET", "/addresses/9", {"shipping_address": None, "address_id": 9}),
    ],
)
def test_somebody_elses_card_or_address_is_a_404(check_out, others, method, path, change):
    others.refuse(method, path, 404, "There is none.", "not_found")

    assert check_out(**change).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payment_method_id": None}, "payment_method_id"),
        ({"payment_method_id": 0}, "payment_method_id"),
        ({"payment_method_id": 2**31}, "payment_method_id"),
        ({"address_id": 1}, "body"),
        ({"shipping_address": " "}, "shipping_address"),
        ({"shipping_address": "x" * 501}, "shipping_address"),
        ({"shipping_address": ["12 Orchard Lane"]}, "shipping_address"),
        ({"shipping_address": {"city": "Portland"}}, "shipping_address.address_line1"),
        ({"coupon": "FREE"}, "coupon"),
        ({"user_id": 2}, "user_id"),
    ],
)
def test_a_field_that_does_not_validate_is_named(check_out, change, field):
    response = check_out(**change)

    assert response.status_code == 422
    assert field in [error["field"] for error in response.json["errors"]]


class TestIdempotencyKey:
    KEY = {"Idempotency-Key": "a-click"}
    ANOTHER = {"Idempotency-Key": "another-click"}

    def test_the_same_key_buys_once_and_a_replay_says_that_it_is_one(self, check_out, charges):
        first, second = check_out(self.KEY), check_out(self.KEY)

        assert (second.status_code, second.data) == (201, first.data)
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(charges()) == 1

    def test_without_a_key_or_with_another_one_buys_again(self, check_out, charges):
        for headers in (self.KEY, self.ANOTHER, {}, {}):
            check_out(headers)

        assert len(charges()) == 4

    def test_the_same_key_with_another_body_is_refused_however_old_it_is(self, app, check_out, charges):
        check_out(self.KEY)
        with app.app_context():
            db.session.get(Order, 1).created_at -= timedelta(days=400)
            db.session.commit()

        response = check_out(self.KEY, expected_total=50.99)

        assert (response.status_code, response.json["code"]) == (422, "idempotency_key_reused")
        assert len(charges()) == 1

    def test_a_replay_is_known_whatever_became_of_our_secret(self, app, check_out, charges):
        first = check_out(self.KEY)
        app.config["SECRET_KEY"] = "another since then"

        again = check_out(self.KEY)

        assert (again.status_code, again.json["id"]) == (201, first.json["id"])
        assert len(charges()) == 1

    def test_after_a_failure_the_same_is_said_again_and_another_attempt_needs_a_key_of_its_own(self, check_out, card):
        card("sandbox_card_declined_1")
        first = check_out(self.KEY)
        card("sandbox_succeeds_1")

        second = check_out(self.KEY)

        said = [(each.status_code, each.json["code"], each.json["order_id"]) for each in (first, second)]
        assert said == [(402, "card_declined", 1)] * 2
        assert second.headers["Idempotent-Replayed"] == "true"
        assert check_out(self.ANOTHER).status_code == 201

    def test_what_failed_because_somebody_was_away_is_not_said_to_be_so_for_ever(self, check_out, others):
        others.down("POST", "/internal/reservations")
        first = check_out(self.KEY)

        second = check_out(self.KEY)

        assert (first.status_code, second.status_code, second.json["code"]) == (502, 409, "checkout_interrupted")
        assert second.json["order_id"] == first.json["order_id"]

    def test_what_made_no_order_leaves_the_key_free(self, check_out, others):
        cart = others.answer_of("GET", "/cart")
        others.on("GET", "/cart", {**cart, "items": [], "total": 0})
        empty = check_out(self.KEY)
        others.on("GET", "/cart", cart)

        assert (empty.json["code"], check_out(self.KEY).status_code) == ("cart_empty", 201)

    def test_while_the_first_is_still_running_the_second_is_told_so(self, check_out, others, charges):
        seen = []

        def again_meanwhile(_):
            seen.append(check_out(self.KEY).json)
            return 201, {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]}

        others.on("POST", "/internal/reservations", answer=again_meanwhile)

        order = check_out(self.KEY)

        assert order.status_code == 201
        assert [(each["code"], each["order_id"]) for each in seen] == [("idempotency_key_in_use", order.json["id"])]
        assert len(charges()) == 1

    def test_two_that_arrive_at_once_buy_once(self, check_out, others, charges):
        seen = []

        def again_meanwhile(_):
            cart = others.answer_of("GET", "/cart")
            others.on("GET", "/cart", usual)
            if not seen:
                seen.append(check_out(self.KEY).status_code)
            return 200, cart or usual

        usual = others.answer_of("GET", "/cart")
        others.on("GET", "/cart", answer=again_meanwhile)

        assert check_out(self.KEY).json["code"] == "idempotency_key_in_use"
        assert seen == [201]
        assert len(charges()) == 1

    def test_a_key_belongs_to_its_user(self, check_out, client, bob, others):
        check_out(self.KEY)
        others.on("GET", "/cart", {**others.answer_of("GET", "/cart"), "items": [], "total": 0})

        response = client.post("/orders", json={"payment_method_id": 1, "address_id": 1}, headers={**bob, **self.KEY})

        assert response.json["code"] == "cart_empty"

    @pytest.mark.parametrize("key", ["", "x" * 256, "a click", "\x7f"])
    def test_a_key_that_makes_no_sense_is_refused(self, check_out, key):
        assert check_out({"Idempotency-Key": key}).json["errors"][0]["field"] == "Idempotency-Key"
