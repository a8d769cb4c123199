import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

VISA = {
    "card_number": "4242 4242 4242 4242",
    "exp_month": 12,
    "exp_year": 2035,
    "cvc": "918",
    "cardholder_name": "Alice Anderson",
}


@pytest.fixture
def add(client, alice):
    """Add a card of Alice's; says how it is shown."""
    return lambda **fields: client.post("/payment-methods", json={**VISA, **fields}, headers=alice).json


@pytest.fixture
def token_of(client, service):
    """What the provider knows a card of Alice's by."""
    return lambda card: client.get(f"/internal/payment-methods/{card['id']}?user_id=1", headers=service).json[
        "provider_token"
    ]


def test_a_card_is_shown_by_its_last_four_digits(client, alice):
    response = client.post("/payment-methods", json=VISA, headers=alice)

    assert response.status_code == 201
    assert response.json == {
        "id": response.json["id"],
        "brand": "visa",
        "last_four": "4242",
        "exp_month": 12,
        "exp_year": 2035,
        "cardholder_name": "Alice Anderson",
        "is_default": True,
        "created_at": response.json["created_at"],
    }
    assert response.json["created_at"].endswith("Z")
    assert client.get("/payment-methods", headers=alice).json == [response.json]


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242-4242-4242-4242", "visa"),
        ("4222222222222", "visa"),
        ("5555 5555 5555 4444", "mastercard"),
        ("2223003122003222", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("2721000000000004", "unknown"),
        ("3782 822463 10005", "amex"),
        ("6011111111111117", "discover"),
        ("3530111333300000", "unknown"),
    ],
)
def test_the_brand_is_told_from_the_number(add, number, brand):
    card = add(card_number=number)

    assert card["brand"] == brand


@pytest.mark.parametrize(
    ("number", "beginning"),
    [
        ("4242424242424242", "sandbox_succeeds_"),
        ("5555555555554444", "sandbox_succeeds_"),
        ("4000 0000 0000 0002", "sandbox_card_declined_"),
        ("4000-0000-0000-9995", "sandbox_insufficient_funds_"),
        ("4000 0000 0000 5043", "sandbox_timeout_charged_"),
        ("4000 0000 0000 4087", "sandbox_timeout_not_charged_"),
    ],
)
def test_the_sandbox_token_says_how_paying_will_end(add, token_of, number, beginning):
    assert token_of(add(card_number=number)).startswith(beginning)


def test_no_two_cards_have_the_same_token(add, token_of):
    assert token_of(add()) != token_of(add())


@pytest.mark.parametrize("month", [5, "5", "05"])
@pytest.mark.parametrize("year", [2035, "2035", 35, "35"])
def test_the_expiry_is_taken_as_cards_have_it(client, alice, month, year):
    added = client.post("/payment-methods", json={**VISA, "exp_month": month, "exp_year": year}, headers=alice)

    assert (added.status_code, added.json["exp_month"], added.json["exp_year"]) == (201, 5, 2035)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("card_number", "4242 4242 4242 4241"),
        ("card_number", "4242"),
        ("card_number", "4242x4242x4242x4242"),
        ("card_number", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"),
        ("card_number", 4242424242424242),
        ("card_number", None),
        ("exp_month", 0),
        ("exp_month", 13),
        ("exp_year", 1999),
        ("exp_month", "13"),
        ("exp_month", "005"),
        ("exp_month", " 5"),
        ("exp_month", "May"),
        ("exp_month", "\u0665"),
        ("exp_month", 5.0),
        ("exp_month", None),
        ("exp_year", 100),
        ("exp_year", -30),
        ("exp_year", 20),
        ("exp_year", "20"),
        ("exp_year", "5"),
        ("exp_year", "030"),
        ("exp_year", "2O30"),
        ("exp_year", "2" * 5000),
        ("exp_year", True),
        ("exp_year", 2020),
        ("cvc", "12"),
        ("cvc", "12345"),
        ("cvc", "abc"),
        ("cardholder_name", ""),
        ("cardholder_name", "x" * 101),
        ("cardholder_name", "4242 4242 4242 4242"),
        ("provider_token", "tok_1"),
        ("brand", "visa"),
    ],
)
def test_a_field_that_does_not_validate_is_named_and_not_repeated(client, alice, field, value):
    response = client.post(
        "/payment-methods", json={**VISA, field: value}, headers={**alice, "X-Request-ID": "without-digits"}
    )

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]
    assert "4242" not in response.text
    assert client.get("/payment-methods", headers=alice).json == []


@pytest.mark.parametrize("field", VISA)
def test_every_field_of_a_card_must_be_given(client, alice, field):
    without = {name: value for name, value in VISA.items() if name != field}

    response = client.post("/payment-methods", json=without, headers={**alice, "X-Request-ID": "without-digits"})

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]
    assert "4242" not in response.text


@pytest.mark.parametrize(("month", "status"), [(5, 422), (6, 201), (7, 201)])
def test_a_card_holds_to_the_end_of_its_month(client, alice, monkeypatch, month, status):
    import schemas

    monkeypatch.setattr(schemas, "now", lambda: datetime(2030, 6, 30, 23, tzinfo=UTC))
    response = client.post("/payment-methods", json={**VISA, "exp_year": 2030, "exp_month": month}, headers=alice)

    assert response.status_code == status


def test_number_and_security_code_are_never_stored_logged_or_returned(app, client, alice, caplog, tmp_path):
    import sqlalchemy as sa

    import models

    caplog.set_level(logging.DEBUG)
    number = "4000056655665556"
    named = {**alice, "X-Request-ID": "without-digits"}  # one that is made up may contain any four
    answers = [
        client.post("/payment-methods", json={**VISA, "card_number": number, "cvc": "9183"}, headers=named),
        client.post("/payment-methods", json={**VISA, "card_number": number, "cvc": "9183x"}, headers=named),
        client.post("/payment-methods", json={**VISA, "card_number": number, "exp_year": 2001}, headers=named),
        client.post("/payment-methods", json={**VISA, "card_number": f"{number}0"}, headers=named),
        client.post("/payment-methods", json={**VISA, "number": number}, headers=named),
        client.post(
            "/payment-methods", data=f'{{"card_number": "{number}', content_type="application/json", headers=named
        ),
        client.get("/payment-methods", headers=named),
    ]
    with app.app_context():
        rows = models.db.session.execute(sa.select(models.PaymentMethod.__table__)).all()
    said = " ".join([*(each.text for each in answers), caplog.text, repr(rows)])
    kept = b"".join(file.read_bytes() for file in Path(tmp_path).glob("service.db*"))

    assert answers[0].status_code == 201
    for secret in (number, "9183"):
        assert secret not in said
        assert secret.encode() not in kept


def test_a_failing_database_says_no_card_number_either(app, client, alice, caplog):
    import models

    with app.app_context():
        models.db.drop_all()
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    response = client.post("/payment-methods", json=VISA, headers=alice)

    assert response.status_code in (500, 503)
    assert "4242 4242" not in response.text + caplog.text
    assert "4242424242424242" not in response.text + caplog.text


def test_a_card_that_is_sent_twice_with_one_key_is_added_once(client, alice):
    headers = {**alice, "Idempotency-Key": "a-click"}

    first, second = (client.post("/payment-methods", json=VISA, headers=headers) for _ in range(2))

    assert (first.status_code, second.status_code, second.data) == (201, 201, first.data)
    assert client.get("/payment-methods", headers=alice).json == [first.json]


def test_the_first_card_is_the_default_and_another_one_takes_over_when_it_asks(client, alice, add):
    first, second, third = add(), add(), add(is_default=True)

    listed = client.get("/payment-methods", headers=alice).json

    assert [each["id"] for each in listed] == [third["id"], second["id"], first["id"]]
    assert [each["is_default"] for each in listed] == [True, False, False]


def test_the_newest_of_the_others_follows_a_default_that_is_removed(client, alice, add):
    first, second, third = add(), add(), add()

    assert client.delete(f"/payment-methods/{first['id']}", headers=alice).status_code == 204

    listed = client.get("/payment-methods", headers=alice).json
    assert [(each["id"], each["is_default"]) for each in listed] == [(third["id"], True), (second["id"], False)]


def test_payment_methods_come_in_pages(client, alice, add):
    add()
    add()

    page = client.get("/payment-methods?page=2&per_page=1", headers=alice)

    assert len(page.json) == 1
    assert page.headers["X-Total-Count"] == "2"


def test_nobody_has_more_than_twenty(client, alice, add):
    for _ in range(20):
        add()

    response = client.post("/payment-methods", json=VISA, headers=alice)

    assert (response.status_code, response.json["code"]) == (409, "list_full")
    assert response.json["error"] == "You have 20 payment methods already; remove one first."


def test_somebody_elses_payment_method_does_not_exist(client, alice, bob, add):
    card = add()

    assert client.delete(f"/payment-methods/{card['id']}", headers=bob).status_code == 404
    assert client.get("/payment-methods", headers=bob).json == []
    assert client.get("/payment-methods", headers=alice).json == [card]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/payment-methods"), ("POST", "/payment-methods"), ("DELETE", "/payment-methods/1")],
)
def test_payment_methods_are_for_people_who_are_signed_in(client, service, method, path):
    assert client.open(path, method=method).status_code == 401
    assert client.open(path, method=method, headers=service).status_code == 403


def test_the_seeded_cards_are_the_ones_that_others_speak_of(seeded, client, service):
    alices = client.get("/internal/payment-methods/1?user_id=1", headers=service).json
    bobs = client.get("/internal/payment-methods/2?user_id=2", headers=service).json

    assert (alices["brand"], alices["last_four"], bobs["user_id"]) == ("visa", "4242", 2)
    assert alices["provider_token"].startswith("sandbox_succeeds_")


def _described(client):
    path = client.get("/openapi.json").json["paths"]["/payment-methods"]
    return path["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2], path.keys()


def test_the_api_describes_what_the_sandbox_takes(client):
    assert _described(client) == ("NewCard", {"get", "post"})


class TestForServices:
    def test_they_learn_how_the_provider_knows_a_card(self, client, add, service):
        card = add()

        response = client.get(f"/internal/payment-methods/{card['id']}?user_id=1", headers=service)

        assert response.status_code == 200
        assert response.json["provider_token"].startswith("sandbox_succeeds_")
        assert response.json == {
            "id": card["id"],
            "user_id": 1,
            "provider": "sandbox",
            "provider_token": response.json["provider_token"],
            "brand": "visa",
            "last_four": "4242",
        }

    def test_a_card_of_another_person_does_not_exist(self, client, add, service):
        card = add()

        assert client.get(f"/internal/payment-methods/{card['id']}?user_id=2", headers=service).status_code == 404

    @pytest.mark.parametrize("query", ["", "?user_id=0", "?user_id=x", "?user_id=1&all=1"])
    def test_it_must_be_said_whose_card_it_is(self, client, service, query):
        assert client.get(f"/internal/payment-methods/1{query}", headers=service).status_code == 422

    def test_nobody_else_learns_it(self, client, alice, admin):
        path = "/internal/payment-methods/1?user_id=1"

        assert client.get(path).status_code == 401
        assert client.get(path, headers=alice).status_code == 403
        assert client.get(path, headers=admin).status_code == 403


class TestWithARealProvider:
    TOKENIZED = {
        "provider_token": "pm_1Nz",
        "brand": "visa",
        "last_four": "4242",
        "exp_month": 12,
        "exp_year": 2035,
        "cardholder_name": "Alice Anderson",
    }

    @pytest.fixture
    def settings(self, settings):
        return replace(settings, payment_provider="stripe")

    def test_a_card_comes_as_the_providers_token(self, client, alice, service):
        added = client.post("/payment-methods", json=self.TOKENIZED, headers=alice)

        assert added.status_code == 201
        assert "provider_token" not in added.json
        internal = client.get(f"/internal/payment-methods/{added.json['id']}?user_id=1", headers=service).json
        assert (internal["provider"], internal["provider_token"]) == ("stripe", "pm_1Nz")

    def test_a_card_number_is_refused(self, client, alice):
        response = client.post("/payment-methods", json=VISA, headers={**alice, "X-Request-ID": "without-digits"})

        assert response.status_code == 422
        fields = {error["field"] for error in response.json["errors"]}
        assert fields >= {"card_number", "cvc", "provider_token", "brand", "last_four"}
        assert "4242" not in response.text

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("provider_token", "4242 4242 4242 4242"),
            ("provider_token", ""),
            ("provider_token", "x" * 256),
            ("last_four", "42424"),
            ("last_four", "42a2"),
            ("brand", "x" * 21),
            ("exp_year", 2020),
        ],
    )
    def test_a_field_that_does_not_validate_is_named(self, client, alice, field, value):
        response = client.post("/payment-methods", json={**self.TOKENIZED, field: value}, headers=alice)

        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]

    def test_the_api_describes_what_it_takes(self, client):
        assert _described(client) == ("NewProviderCard", {"get", "post"})


def test_the_id_of_a_removed_card_is_not_given_again(client, alice, service, add):
    """An order that names the removed card must not charge another one."""
    removed = add()["id"]
    client.delete(f"/payment-methods/{removed}", headers=alice)

    assert add()["id"] > removed
    assert client.get(f"/internal/payment-methods/{removed}?user_id=1", headers=service).status_code == 404
