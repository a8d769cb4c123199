from concurrent.futures import ThreadPoolExecutor

import pytest

FIELDS = {
    "first_name": "Zoë",
    "last_name": "村上",
    "phone": "555-123-4567",
    "address_line1": "1 Main Street",
    "address_line2": "Back door",
    "city": "Kraków",
    "state": "MA",
    "postal_code": "02139",
    "country": "US",
}


def test_a_new_user_has_an_empty_profile(client, newcomer):
    response = client.get("/profile", headers=newcomer)

    assert response.status_code == 200
    assert response.json == {
        "user_id": 99,
        "username": "newcomer",
        "email": "newcomer@example.com",
        **dict.fromkeys(FIELDS, ""),
    }


def test_looking_at_a_profile_writes_nothing(app, client, newcomer):
    import sqlalchemy as sa

    import models

    client.get("/profile", headers=newcomer)

    with app.app_context():
        assert models.db.session.scalar(sa.select(sa.func.count(models.Profile.user_id))) == 0


def test_the_first_change_makes_the_profile(client, alice):
    changed = client.put("/profile", json=FIELDS, headers=alice)

    assert changed.status_code == 200
    assert changed.json == {"user_id": 1, "username": "alice", "email": "alice@example.com", **FIELDS}
    assert client.get("/profile", headers=alice).json == changed.json


def test_what_is_not_sent_stays_as_it_is(client, alice):
    client.put("/profile", json=FIELDS, headers=alice)

    changed = client.put("/profile", json={"city": "Berlin", "phone": ""}, headers=alice)

    assert changed.json.items() >= {**FIELDS, "city": "Berlin", "phone": ""}.items()


def test_a_change_of_nothing_is_none(client, newcomer):
    response = client.put("/profile", json={}, headers=newcomer)

    assert response.status_code == 200
    assert response.json == client.get("/profile", headers=newcomer).json


def test_address_and_zip_code_are_other_names(client, alice):
    response = client.put("/profile", json={"address": "2 Side Street", "zip_code": "12345"}, headers=alice)

    assert response.status_code == 200
    assert (response.json["address_line1"], response.json["postal_code"]) == ("2 Side Street", "12345")
    assert not {"address", "zip_code"} & response.json.keys()


def test_everybody_has_a_profile_of_their_own(client, alice, bob):
    client.put("/profile", json=FIELDS, headers=alice)

    assert client.get("/profile", headers=bob).json["first_name"] == ""


@pytest.mark.parametrize("phone", ["555-123-4567", "+49 (0)30 / 12.34.56", "12345", ""])
def test_a_phone_number_is_taken_as_people_write_it(client, alice, phone):
    response = client.put("/profile", json={"phone": phone}, headers=alice)

    assert (response.status_code, response.json["phone"]) == (200, phone)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "1234"),
        ("phone", "call me"),
        ("phone", "555-123-4567 ext. 9"),
        ("phone", "1" * 33),
        ("country", "U"),
        ("country", "U" * 61),
        ("first_name", "x" * 101),
        ("first_name", None),
        ("last_name", 7),
        ("address_line1", "x" * 201),
        ("address", "x" * 201),
        ("zip_code", "x" * 21),
        ("user_id", 2),
        ("role", "admin"),
    ],
)
def test_a_field_that_does_not_validate_is_named(client, alice, field, value):
    response = client.put("/profile", json={field: value}, headers=alice)

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_one_field_under_two_names_is_refused(client, alice):
    body = {"address": "2 Side Street", "address_line1": "1 Main Street"}

    response = client.put("/profile", json=body, headers=alice)

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "address")


def test_first_changes_at_the_same_moment_all_count(app, client, alice):
    def change(field):
        return app.test_client().put("/profile", json={field: FIELDS[field]}, headers=alice).status_code

    with ThreadPoolExecutor(len(FIELDS)) as pool:
        statuses = list(pool.map(change, FIELDS))

    assert statuses == [200] * len(FIELDS)
    assert client.get("/profile", headers=alice).json.items() >= FIELDS.items()


def test_a_first_change_that_lost_the_race_is_an_ordinary_change(client, alice, monkeypatch):
    import models

    client.put("/profile", json={"city": "Berlin"}, headers=alice)
    real, looks = models.db.session.get, []

    def blind_at_first(*args):
        looks.append(args)
        return real(*args) if len(looks) > 1 else None

    monkeypatch.setattr(models.db.session, "get", blind_at_first)
    response = client.put("/profile", json={"first_name": "Alice"}, headers=alice)

    assert response.status_code == 200
    assert (response.json["first_name"], response.json["city"]) == ("Alice", "Berlin")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_profile_is_for_people_who_are_signed_in(client, service, method):
    assert client.open("/profile", method=method).status_code == 401
    assert client.open("/profile", method=method, headers=service).status_code == 403


def test_seeding_twice_changes_nothing(seeded, client, alice, bob):
    import seed

    def everything():
        return [
            client.get(path, headers=who).json
            for who in (alice, bob)
            for path in ("/profile", "/addresses", "/payment-methods")
        ]

    before = everything()
    with seeded.app_context():
        seed.seed()

    assert everything() == before
    assert [len(each) for each in before[1:3] + before[4:6]] == [2, 1, 1, 1]


def test_the_api_describes_itself(client):
    schemas = client.get("/openapi.json").json["components"]["schemas"]

    assert "default" not in schemas["ProfileChange"]["properties"]["first_name"]
    assert sorted(schemas["NewAddress"]["required"]) == [
        "address_line1",
        "city",
        "country",
        "postal_code",
        "recipient",
    ]
