"""From the gateway to an order, with the real services wired to each other in this process."""

import pytest

ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}
CARD = {
    "card_number": "4242424242424242",
    "exp_month": 12,
    "exp_year": 2035,
    "cvc": "123",
    "cardholder_name": "Carol",
}


@pytest.fixture
def carol(shop):
    """A new customer who has signed in, with a card and an address."""
    new = {"username": "carol", "email": "carol@example.com", "password": "correct horse"}
    assert shop("POST", "/register", new).status_code == 201
    shop.sign_in("carol", "correct horse")
    shop.card = shop("POST", "/payment-methods", CARD).json["id"]
    shop.address = shop("POST", "/addresses", {"recipient": "Carol", **ADDRESS}).json["id"]
    return shop


def _stock(shop, product_id=1):
    return shop("GET", f"/products/{product_id}").json["stock"]


def _buy(shop, quantity=2, **changes):
    shop("POST", "/cart/items", {"product_id": 1, "quantity": quantity})
    return shop("POST", "/orders", {"payment_method_id": shop.card, "address_id": shop.address, **changes})


def test_a_customer_buys_what_is_in_the_cart(carol):
    price, before = carol("GET", "/products/1").json["price"], _stock(carol)

    order = _buy(carol)

    assert order.status_code == 201, order.text
    assert (order.json["status"], order.json["payment_status"]) == ("confirmed", "paid")
    assert order.json["total_amount"] == pytest.approx(2 * price)
    assert order.json["shipping_address"]["city"] == "Testville"
    assert carol("GET", "/cart").json["items"] == []
    assert _stock(carol) == before - 2


def test_a_cancelled_order_puts_the_stock_back(carol):
    before = _stock(carol)
    order = _buy(carol).json

    cancelled = carol("DELETE", f"/orders/{order['id']}/cancel").json

    assert (cancelled["status"], cancelled["payment_status"]) == ("cancelled", "refunded")
    assert _stock(carol) == before


def test_a_declined_card_leaves_cart_and_stock_as_they_were(carol):
    before = _stock(carol)
    carol.card = carol("POST", "/payment-methods", {**CARD, "card_number": "4000000000000002"}).json["id"]

    refused = _buy(carol)

    assert (refused.status_code, refused.json["code"]) == (402, "card_declined")
    assert _stock(carol) == before
    assert [item["quantity"] for item in carol("GET", "/cart").json["items"]] == [2]


def test_of_two_buyers_of_the_last_one_one_gets_it(carol, new_shop):
    bob, admin = new_shop(), new_shop()
    admin.sign_in("admin")
    admin("POST", "/products/1/stock", {"change": 1 - _stock(admin), "reason": "the last one"})
    bob.sign_in("bob")
    bob.card, bob.address = 2, bob("GET", "/addresses").json[0]["id"]
    bob("DELETE", "/cart")
    bob("POST", "/cart/items", {"product_id": 1, "quantity": 1})
    assert _buy(carol, 1).status_code == 201

    refused = bob("POST", "/orders", {"payment_method_id": bob.card, "address_id": bob.address})

    assert (refused.status_code, refused.json["code"]) == (409, "out_of_stock")
    assert refused.json["items"] == [{"product_id": 1, "wanted": 1, "available": 0}]


def test_a_price_that_the_shop_raises_is_the_price_of_the_cart_at_once(carol, new_shop):
    admin = new_shop()
    admin.sign_in("admin")
    carol("POST", "/cart/items", {"product_id": 1, "quantity": 1})

    admin("PUT", "/products/1", {"price": 77.7})

    assert carol("GET", "/cart").json["total"] == 77.7


def _pictures(shop, **headers):
    """In the catalogue, in the cart and in the order of whoever asks, and where the next page is."""
    catalogue = shop("GET", "/api/products?per_page=1", **headers)
    lines = [shop("GET", path, **headers).json for path in ("/cart", f"/orders/{shop.order}")]
    pictures = [catalogue.json[0]["image_url"], *(each["items"][0]["product_image"] for each in lines)]
    return pictures, catalogue.headers["Link"].partition(">")[0][1:]


def test_addresses_are_absolute_under_a_loopback_host_and_paths_under_any_other(carol):
    path, first = "/images/wireless-headphones.svg", "/api/products?per_page=1&page=1"
    carol.order = _buy(carol).json["id"]
    carol("POST", "/cart/items", {"product_id": 1, "quantity": 1})

    for host in ("localhost:5000", "127.0.0.1"):
        assert _pictures(carol, Host=host) == ([f"http://{host}{path}"] * 3, f"http://{host}{first}")
    assert _pictures(carol, Host="evil.example") == ([path] * 3, first)


def test_somebody_elses_card_and_address_cannot_be_used(carol):
    assert _buy(carol, payment_method_id=1).status_code == 404
    assert _buy(carol, address_id=1).status_code == 404


def test_signing_out_holds_at_once_everywhere(carol):
    paths = ["/profile", "/addresses", "/payment-methods", "/favorites", "/cart", "/orders", "/tickets"]
    assert [carol("GET", path).status_code for path in paths] == [200] * len(paths)

    carol("POST", "/logout")

    assert [carol("GET", path).status_code for path in paths] == [401] * len(paths)


def test_checkouts_go_on_when_the_key_that_signs_tokens_is_another(carol, make_app):
    assert _buy(carol).status_code == 201

    another = "another key, which is long enough for HS256 as well"
    carol.wiring.apps[5001] = make_app("services/auth-service", carol.wiring, JWT_SECRET_KEY=another)
    carol.sign_in("carol", "correct horse")

    assert _buy(carol).status_code == 201


def test_the_request_id_is_one_from_the_gateway_to_the_last_service(carol, caplog):
    caplog.set_level("INFO", logger="shop.access")
    carol("POST", "/cart/items", {"product_id": 1, "quantity": 1}, X_Request_ID="request-0001")

    assert carol("GET", "/cart", X_Request_ID="request-0002").headers["X-Request-ID"] == "request-0002"


def test_what_is_internal_cannot_be_reached_from_outside(carol, new_shop):
    admin = new_shop()
    admin.sign_in("admin")
    for path in ("/internal/reservations", "/validate", "/token", "/auth/token", "/internal/carts/1/bought"):
        assert admin("POST", f"/api{path}", {}).status_code == 404
        assert admin("POST", path, {}).status_code == 404


def test_a_ticket_is_answered_by_support(carol, new_shop):
    ticket = carol("POST", "/tickets", {"subject": "Lamp", "message": "It flickers."}).json
    support = new_shop()
    support.sign_in("support")

    support("POST", f"/tickets/{ticket['id']}/messages", {"message": "Send it back."})

    messages = carol("GET", f"/tickets/{ticket['id']}").json["messages"]
    assert [(each["message"], each["is_staff"]) for each in messages] == [
        ("It flickers.", False),
        ("Send it back.", True),
    ]


@pytest.mark.parametrize(
    ("port", "request_", "status"),
    [
        (5003, ("GET", "/products"), 502),
        (5003, ("POST", "/cart/items", {"product_id": 1, "quantity": 1}), 502),
        (5001, ("GET", "/cart"), 502),
    ],
)
def test_a_service_that_is_away_is_a_502_and_the_others_go_on(carol, port, request_, status):
    del carol.wiring.apps[port]

    refused = carol(*request_)

    assert refused.status_code == status
    assert "127.0.0.1" not in refused.text
    assert carol("GET", "/health/live").status_code == 200
