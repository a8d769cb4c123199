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


def test_two_who_register_the_same_name_at_once_get_one_account(client, monkeypatch):
    import routes

    real, seen = routes.taken, []

    def blind_at_first(*names):
        seen.append(names)
        return real(*names) if len(seen) > 1 else None

    client.post("/register", json=NEW)
    monkeypatch.setattr(routes, "taken", blind_at_first)

    assert client.post("/register", json=NEW).status_code == 409


def test_the_password_is_kept_as_argon2id_only(app, client):
    import models

    client.post("/register", json=NEW)

    with app.app_context():
        assert models.user_named("carol").password_hash.startswith("$argon2id$")
