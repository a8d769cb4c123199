import pytest
import requests


def _steps(network):
    """What was done to the reservation, in order."""
    paths = [path for method, path in network.calls if method == "POST" and path.startswith("/internal/reservations")]
    return [path.rpartition("/")[2] for path in paths]


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


def test_stock_is_held_then_sold_and_the_bought_lines_leave_the_cart(check_out, partners):
    check_out()

    assert _steps(partners) == ["reservations", "commit"]
    assert partners.sent("POST", "/internal/reservations")[0]["items"] == [
        {"product_id": 1, "quantity": 2},
        {"product_id": 7, "quantity": 1},
    ]
    assert partners.sent("POST", "/internal/carts/1/bought") == [{"product_ids": [1, 7]}]


def test_the_cart_is_asked_for_with_the_buyers_token_and_stock_with_our_own(check_out, partners):
    check_out()

    tokens = {each.path_url: each.headers["Authorization"] for each in partners.requests if each.path_url != "/token"}
    assert tokens["/cart"] == "Bearer alice"
    assert tokens["/internal/reservations"] == "Bearer order-service"


def test_an_address_of_the_address_book_is_kept_as_it_was(check_out, partners):
    partners.on("GET", "/addresses/3", {"id": 3, "label": "", "address_line1": "9 Hill Road", "city": "Salem"})

    order = check_out(shipping_address=None, address_id=3).json

    assert order["shipping_address"] == {"address_line1": "9 Hill Road", "city": "Salem"}


def test_the_names_of_older_clients_are_understood(check_out):
    old = {"address": "12 Orchard Lane", "city": "Portland", "state": "OR", "zip_code": "97201", "country": "US"}

    order = check_out(shipping_address=old).json

    assert order["shipping_address"]["address_line1"] == "12 Orchard Lane"
    assert order["shipping_address"]["postal_code"] == "97201"


def test_an_empty_cart_cannot_be_checked_out(check_out, partners, client, alice):
    partners.on("GET", "/cart", {"id": 1, "items": [], "total": 0, "currency": "USD"})

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "cart_empty")
    assert client.get("/orders", headers=alice).json == []


@pytest.mark.parametrize(
    ("token", "code"),
    [("sandbox_card_declined_1", "card_declined"), ("sandbox_insufficient_funds_1", "insufficient_funds")],
)
def test_a_declined_card_is_a_402_and_the_stock_can_be_bought_again(check_out, card, partners, charges, token, code):
    card(token)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (402, code)
    assert _steps(partners) == ["reservations", "release"]
    assert charges() == [(5099, code, False)]


def test_a_declined_order_is_failed_and_says_so(check_out, card, client, alice):
    card("sandbox_card_declined_1")
    check_out()

    order = client.get("/orders", headers=alice).json[0]

    assert (order["status"], order["payment_status"], order["allowed_actions"]) == ("failed", "failed", [])


def test_what_is_out_of_stock_is_said_and_nothing_is_charged(check_out, partners, charges):
    lacking = [{"product_id": 1, "wanted": 2, "available": 1}]
    partners.refuse("POST", "/internal/reservations", 409, "Not enough in stock.", "out_of_stock", items=lacking)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "out_of_stock")
    assert response.json["items"] == lacking
    assert charges() == []


def test_a_price_that_changes_while_one_checks_out_stops_it_and_says_the_new_total(check_out, partners, charges):
    prices = [{"product_id": 1, "unit_price": 21}, {"product_id": 7, "unit_price": 9.99}]
    partners.on("POST", "/internal/reservations", {"items": prices}, 201)

    response = check_out()

    assert (response.status_code, response.json["code"], response.json["total"]) == (409, "total_changed", 51.99)
    assert _steps(partners)[-1] == "release"
    assert charges() == []


def _make_lamps_dearer(partners):
    """The buyer put them in at 20, and they cost 20.50 now."""
    cart = partners.answer_of("GET", "/cart")
    cart["items"][0]["problems"] = [{"code": "price_changed", "message": "It costs more.", "seen_price": 20}]


def test_a_price_that_the_buyer_has_not_seen_stops_the_checkout(check_out, partners, charges):
    _make_lamps_dearer(partners)

    response = check_out()

    assert (response.status_code, response.json["code"], response.json["total"]) == (409, "total_changed", 50.99)
    assert charges() == []


@pytest.mark.parametrize(("expected", "status"), [(50.99, 201), (49.99, 409), (51, 409)])
def test_the_total_that_the_buyer_names_is_the_one_that_counts(check_out, partners, expected, status):
    _make_lamps_dearer(partners)

    assert check_out(expected_total=expected).status_code == status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/cart"), ("GET", "/internal/payment-methods/1"), ("POST", "/internal/reservations"), ("POST", "/token")],
)
@pytest.mark.parametrize(("error", "status"), [(requests.ConnectionError, 502), (requests.ReadTimeout, 504)])
def test_a_service_that_is_away_is_said_and_nothing_is_charged(
    check_out, partners, charges, method, path, error, status
):
    partners.down(method, path, error)

    assert check_out().status_code == status
    assert charges() == []


def test_the_order_stands_even_if_the_cart_cannot_be_emptied(check_out, partners):
    partners.down("POST", "/internal/carts/1/bought")

    assert check_out().status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [
        ("GET", "/internal/payment-methods/2", {"payment_method_id": 2}),
        ("GET", "/addresses/9", {"shipping_address": None, "address_id": 9}),
    ],
)
def test_somebody_elses_card_or_address_is_a_404(check_out, partners, method, path, change):
    partners.refuse(method, path, 404, "There is none.", "not_found")

    assert check_out(**change).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payment_method_id": None}, "payment_method_id"),
        ({"payment_method_id": 0}, "payment_method_id"),
        ({"payment_method_id": 2**31}, "payment_method_id"),
        ({"shipping_address": None}, "body"),
        ({"address_id": 1}, "body"),
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

    @pytest.fixture
    def forget_keys(self, app):
        """As if the answers had been lost: the checkout itself still knows its order by the key."""

        def forget_keys():
            import sqlalchemy as sa

            from models import db

            with app.app_context():
                db.session.execute(sa.delete(db.metadata.tables["idempotency_keys"]))
                db.session.commit()

        return forget_keys

    def test_the_same_key_buys_once(self, check_out, charges):
        first, second = check_out(self.KEY), check_out(self.KEY)

        assert second.status_code == 201
        assert first.json["id"] == second.json["id"]
        assert len(charges()) == 1

    def test_the_same_key_buys_once_even_if_the_answer_was_lost(self, check_out, forget_keys, charges):
        first = check_out(self.KEY)
        forget_keys()
        second = check_out(self.KEY)

        assert (second.status_code, second.json["id"]) == (201, first.json["id"])
        assert len(charges()) == 1

    @pytest.mark.parametrize("method", ["post", "delete"])
    def test_a_cancellation_that_is_sent_twice_is_answered_twice_the_same(self, check_out, client, alice, method):
        path = f"/orders/{check_out().json['id']}/cancel"

        first, second = (getattr(client, method)(path, headers={**alice, **self.KEY}) for _ in range(2))

        assert (first.status_code, second.status_code, second.data) == (200, 200, first.data)

    def test_without_a_key_or_with_another_one_buys_again(self, check_out, charges):
        for headers in (self.KEY, {"Idempotency-Key": "another-click"}, {}, {}):
            check_out(headers)

        assert len(charges()) == 4

    def test_after_a_failure_another_attempt_needs_a_key_of_its_own(self, check_out, card, forget_keys):
        card("sandbox_card_declined_1")
        check_out(self.KEY)
        card("sandbox_succeeds_1")

        assert check_out(self.KEY).json["code"] == "card_declined"
        forget_keys()
        assert check_out(self.KEY).json["code"] == "failed_before"
        assert check_out({"Idempotency-Key": "another-click"}).status_code == 201

    def test_while_the_first_is_still_running_the_second_is_told_so(self, check_out, partners, charges):
        seen = []

        def again_meanwhile(request):
            partners.on("POST", "/internal/reservations", {"items": []}, 201)
            seen.append(check_out(self.KEY).json["code"])
            return 201, {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]}

        partners.on("POST", "/internal/reservations", answer=again_meanwhile)

        assert check_out(self.KEY).status_code == 201
        assert seen == ["idempotency_key_in_use"]
        assert len(charges()) == 1

    def test_two_that_arrive_at_once_buy_once(self, check_out, monkeypatch, forget_keys, charges):
        from checkout import Checkout

        check_out(self.KEY)
        forget_keys()
        monkeypatch.setattr(Checkout, "_placed_with", lambda *_: None)  # looked just before the first was saved

        assert check_out(self.KEY).json["code"] == "idempotency_key_in_use"
        assert len(charges()) == 1

    def test_a_key_belongs_to_its_user(self, check_out, client, bob, partners):
        check_out(self.KEY)
        partners.on("GET", "/cart", {"id": 2, "items": [], "total": 0, "currency": "USD"})

        response = client.post(
            "/orders",
            json={"payment_method_id": 1, "address_id": 1},
            headers={**bob, **self.KEY},
        )

        assert response.json["code"] == "cart_empty"
