from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest

NEW = {"username": "carol", "email": "carol@example.com", "password": "correct horse"}


def test_a_new_user_is_a_customer_and_the_answer_keeps_the_password_to_itself(client):
    response = client.post("/register", json=NEW)

    assert response.status_code == 201
    assert response.json.keys() == {"id", "username", "email", "role", "created_at"}
    assert (response.json["username"], response.json["role"]) == ("carol", "customer")
    assert response.json["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("again", "code"),
    [
        ({"username": "CAROL", "email": "other@example.com"}, "username_taken"),
        ({"username": "\uff43arol", "email": "other@example.com"}, "username_taken"),
        ({"username": "other", "email": "Carol@Example.com"}, "email_taken"),
    ],
)
def test_a_name_or_address_that_looks_the_same_is_taken(client, again, code):
    client.post("/register", json=NEW)

    response = client.post("/register", json={**NEW, **again})

    assert (response.status_code, response.json["code"]) == (409, code)
    assert "already exists" in response.json["error"]


def test_that_a_name_is_taken_is_said_before_any_complaint_about_the_password(client):
    client.post("/register", json=NEW)

    assert client.post("/register", json={**NEW, "password": "short"}).status_code == 409


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "with space"),
        ("username", "with@sign"),
        ("username", None),
        ("email", "nobody"),
        ("email", "nobody@"),
        ("password", "seven77"),
        ("password", "x" * 129),
        ("password", 12345678),
    ],
)
def test_a_field_that_does_not_validate_is_named(client, field, value):
    response = client.post("/register", json={**NEW, field: value})

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_a_role_cannot_be_chosen(client):
    response = client.post("/register", json={**NEW, "role": "admin"})

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "role")


def test_white_space_is_part_of_a_password(client):
    client.post("/register", json={**NEW, "password": "  spaces count  "})

    assert client.post("/login", json={"username": "carol", "password": "spaces count"}).status_code == 401
    assert client.post("/login", json={"username": "carol", "password": "  spaces count  "}).status_code == 200


@pytest.mark.parametrize("same", [{"username"}, {"email"}, {"username", "email"}])
def test_of_several_who_register_the_same_at_once_one_gets_it_and_the_others_are_told(app, same, monkeypatch):
    import accounts

    everybody_has_looked = Barrier(4)
    real = accounts.taken

    def taken(*names):
        found = real(*names)
        if len(looks := seen.setdefault(get_ident(), [])) == 0:
            accounts.db.session.rollback()
            everybody_has_looked.wait(20)
        looks.append(found)
        return found

    seen = {}
    monkeypatch.setattr(accounts, "taken", taken)

    def register(number):
        other = {"username": f"carol{number}", "email": f"carol{number}@example.com"}
        body = {**NEW, **{name: value for name, value in other.items() if name not in same}}
        return app.test_client().post("/register", json=body)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(register, range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json["code"] for answer in answers if answer.status_code == 409} <= {
        f"{name}_taken" for name in same
    }


def test_names_and_addresses_that_cross_are_never_an_error_of_ours(app):
    """Each of them wants the name of one and the address of another."""

    def register(number):
        body = {**NEW, "username": f"carol{number % 3}", "email": f"carol{number // 3}@example.com"}
        return app.test_client().post("/register", json=body).status_code

    with ThreadPoolExecutor(9) as pool:
        statuses = list(pool.map(register, range(9)))

    assert set(statuses) <= {201, 409}
    assert 1 <= statuses.count(201) <= 3


@pytest.mark.parametrize(("field", "value"), [("username", "\ufdfa" * 50), ("email", "\ufdfa" * 60 + "@example.com")])
def test_a_name_that_is_long_only_when_it_is_compared_is_refused_too(client, field, value):
    response = client.post("/register", json={**NEW, field: value})

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_the_password_is_kept_as_argon2id_only(app, client):
    import models

    client.post("/register", json=NEW)

    with app.app_context():
        assert models.user_named("carol").password_hash.startswith("$argon2id$")
