from concurrent.futures import ThreadPoolExecutor

import pytest

HOME = {
    "label": "Home",
    "recipient": "Alice Anderson",
    "phone": "555-123-4567",
    "address_line1": "1 Main Street",
    "address_line2": "Back door",
    "city": "Cambridge",
    "state": "MA",
    "postal_code": "02139",
    "country": "United States",
}
LEAST = {name: HOME[name] for name in ("recipient", "address_line1", "city", "postal_code", "country")}


@pytest.fixture
def add(client, alice):
    """Put an address into Alice's book; says its id."""
    return lambda **fields: client.post("/addresses", json={**LEAST, **fields}, headers=alice).json["id"]


@pytest.fixture
def defaults(client, alice):
    """The ids of Alice's addresses that are the default: there should be one."""
    return lambda: [each["id"] for each in client.get("/addresses", headers=alice).json if each["is_default"]]


def test_an_address_is_kept_as_it_was_sent(client, alice):
    response = client.post("/addresses", json=HOME, headers=alice)

    assert response.status_code == 201
    assert response.json == {"id": response.json["id"], **HOME, "is_default": True}
    assert client.get(f"/addresses/{response.json['id']}", headers=alice).json == response.json


def test_an_address_that_is_sent_twice_with_one_key_is_added_once(client, alice):
    headers = {**alice, "Idempotency-Key": "a-click"}

    first, second = (client.post("/addresses", json=HOME, headers=headers) for _ in range(2))

    assert (first.status_code, second.status_code, second.data) == (201, 201, first.data)
    assert client.get("/addresses", headers=alice).json == [first.json]


def test_what_need_not_be_given_is_empty(client, alice):
    response = client.post("/addresses", json=LEAST, headers=alice)

    assert response.status_code == 201
    assert [response.json[name] for name in ("label", "phone", "address_line2", "state")] == [""] * 4


def test_address_and_zip_code_are_other_names(client, alice):
    body = {"recipient": "Alice", "address": "1 Main Street", "zip_code": "02139", "city": "Cambridge", "country": "US"}

    added = client.post("/addresses", json=body, headers=alice)
    changed = client.put(f"/addresses/{added.json['id']}", json={"zip_code": "02140"}, headers=alice)

    assert (added.json["address_line1"], added.json["postal_code"]) == ("1 Main Street", "02139")
    assert (changed.json["address_line1"], changed.json["postal_code"]) == ("1 Main Street", "02140")


def test_the_default_comes_first_and_then_the_newest(client, alice, add):
    first, second, third = add(), add(), add()

    listed = client.get("/addresses", headers=alice)

    assert [each["id"] for each in listed.json] == [first, third, second]
    assert listed.headers["X-Total-Count"] == "3"


def test_addresses_come_in_pages(client, alice, add):
    add()
    second = add()

    page = client.get("/addresses?page=2&per_page=1", headers=alice)

    assert [each["id"] for each in page.json] == [second]
    assert page.headers["X-Total-Count"] == "2"
    assert 'rel="prev"' in page.headers["Link"]
    assert client.get("/addresses?page=3&per_page=1", headers=alice).json == []
    assert client.get("/addresses?per_page=101", headers=alice).status_code == 422


def test_the_first_address_is_the_default_even_if_it_does_not_ask(add, defaults):
    first = add(is_default=False)
    add()

    assert defaults() == [first]


def test_a_new_default_takes_over(add, defaults):
    add()
    second = add(is_default=True)

    assert defaults() == [second]


def test_another_address_can_be_made_the_default(client, alice, add, defaults):
    add()
    second = add()

    response = client.put(f"/addresses/{second}", json={"is_default": True}, headers=alice)

    assert (response.status_code, response.json["is_default"]) == (200, True)
    assert defaults() == [second]


def test_making_the_default_the_default_changes_nothing(client, alice, add, defaults):
    first = add()
    add()

    client.put(f"/addresses/{first}", json={"is_default": True}, headers=alice)

    assert defaults() == [first]


def test_the_default_stays_it_until_another_one_is_made_it(client, alice, add, defaults):
    first = add()
    add()

    response = client.put(f"/addresses/{first}", json={"is_default": False}, headers=alice)

    assert response.json["is_default"] is True
    assert defaults() == [first]


def test_the_newest_of_the_others_follows_a_default_that_is_removed(client, alice, add, defaults):
    first, second, third = add(), add(), add()

    assert client.delete(f"/addresses/{first}", headers=alice).status_code == 204
    assert defaults() == [third]
    assert client.delete(f"/addresses/{second}", headers=alice).status_code == 204
    assert defaults() == [third]
    assert client.delete(f"/addresses/{third}", headers=alice).status_code == 204
    assert client.get("/addresses", headers=alice).json == []


def test_everybody_has_a_default_of_their_own(client, alice, bob, add, defaults):
    first = add()
    client.post("/addresses", json={**LEAST, "is_default": True}, headers=bob)

    assert defaults() == [first]


def test_a_change_leaves_alone_what_is_not_sent(client, alice, add):
    address = add(**HOME)

    response = client.put(f"/addresses/{address}", json={"city": "Boston", "label": ""}, headers=alice)

    assert response.status_code == 200
    assert response.json == {"id": address, **HOME, "city": "Boston", "label": "", "is_default": True}
    assert client.get(f"/addresses/{address}", headers=alice).json == response.json


@pytest.mark.parametrize("field", LEAST)
@pytest.mark.parametrize("value", ["", "   ", None, "x" * 300])
def test_what_a_parcel_needs_cannot_be_empty(client, alice, add, field, value):
    address = add()

    for response in (
        client.post("/addresses", json={**LEAST, field: value}, headers=alice),
        client.put(f"/addresses/{address}", json={field: value}, headers=alice),
    ):
        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]


@pytest.mark.parametrize("field", LEAST)
def test_what_a_parcel_needs_must_be_given(client, alice, field):
    without = {name: value for name, value in LEAST.items() if name != field}

    response = client.post("/addresses", json=without, headers=alice)

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


@pytest.mark.parametrize(("field", "value"), [("phone", "none"), ("label", "x" * 51), ("id", 5), ("is_default", "so")])
def test_a_field_that_does_not_validate_is_named(client, alice, field, value):
    response = client.post("/addresses", json={**LEAST, field: value}, headers=alice)

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_somebody_elses_address_does_not_exist(client, alice, bob, add, method):
    address = add()

    theirs = client.open(f"/addresses/{address}", method=method, json={"city": "Elsewhere"}, headers=bob)
    none = client.open("/addresses/999", method=method, json={"city": "Elsewhere"}, headers=bob)

    assert (theirs.status_code, none.status_code) == (404, 404)
    assert theirs.json["error"] == f"There is no address {address}."
    assert client.get(f"/addresses/{address}", headers=alice).json["city"] == LEAST["city"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/addresses"),
        ("POST", "/addresses"),
        ("GET", "/addresses/1"),
        ("PUT", "/addresses/1"),
        ("DELETE", "/addresses/1"),
    ],
)
def test_the_address_book_is_for_people_who_are_signed_in(client, service, method, path):
    assert client.open(path, method=method).status_code == 401
    assert client.open(path, method=method, headers=service).status_code == 403


def test_addresses_that_come_at_once_leave_one_default_and_no_more_than_fifty(app, client, alice, add, defaults):
    for _ in range(46):
        add()

    def add_default(_):
        response = app.test_client().post("/addresses", json={**LEAST, "is_default": True}, headers=alice)
        return response.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(add_default, range(8)))

    assert statuses == [201] * 4 + [409] * 4
    assert client.get("/addresses", headers=alice).headers["X-Total-Count"] == "50"
    assert len(defaults()) == 1


def test_first_addresses_that_come_at_once_leave_one_default(app, alice, defaults):
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda _: app.test_client().post("/addresses", json=LEAST, headers=alice).status_code, range(8))
        )

    assert statuses == [201] * 8
    assert len(defaults()) == 1


def test_a_full_address_book_says_so(client, alice, bob, add):
    for _ in range(50):
        add()

    response = client.post("/addresses", json=LEAST, headers=alice)

    assert (response.status_code, response.json["code"]) == (409, "list_full")
    assert response.json["error"] == "You have 50 addresses already; remove one first."
    assert client.post("/addresses", json=LEAST, headers=bob).status_code == 201


def test_the_database_itself_refuses_a_second_default(app, add):
    from sqlalchemy.exc import IntegrityError

    import models

    add()

    with app.app_context():
        models.db.session.add(models.Address(user_id=1, is_default=True, recipient="Alice"))
        with pytest.raises(IntegrityError):
            models.db.session.commit()


def test_the_id_of_a_removed_address_is_not_given_again(client, alice, add):
    removed = add()
    client.delete(f"/addresses/{removed}", headers=alice)

    assert add() > removed
    assert client.get(f"/addresses/{removed}", headers=alice).status_code == 404
