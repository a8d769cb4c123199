"""What `GET` gave can be sent back, by `PUT` or by `PATCH`."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLACE = {"recipient": "Alice", "address_line1": "1 Main Street", "city": "Ely", "postal_code": "CB7", "country": "GB"}

whatever_is_there = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
METHODS = pytest.mark.parametrize("method", ["PUT", "PATCH"])


def _text(least, most):
    """As it is taken: without control characters, but for those that lay out a text, and without surrogates."""
    characters = st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\t\n\r")
    return st.text(characters, min_size=least, max_size=most)


PHONES = st.sampled_from(["", "555-123-4567", "+49 (0)30 / 12.34.56"])
PROFILES = st.fixed_dictionaries(
    {},
    optional={
        "first_name": _text(0, 100),
        "last_name": _text(0, 100),
        "phone": PHONES,
        "address_line1": _text(0, 200),
        "address_line2": _text(0, 200),
        "city": _text(0, 100),
        "state": _text(0, 100),
        "postal_code": _text(0, 20),
        "country": st.sampled_from(["", "GB", "United States"]),
    },
)
ADDRESSES = st.fixed_dictionaries(
    {"recipient": _text(1, 200).filter(str.strip), "is_default": st.booleans()},
    optional={"label": _text(0, 50), "phone": PHONES, "address_line2": _text(0, 200), "state": _text(0, 100)},
)


def _is_the_same_after(client, who, method, path):
    shown = client.get(path, headers=who)

    changed = client.open(path, method=method, json=shown.json, headers=who)

    assert (changed.status_code, changed.json) == (200, shown.json)
    assert client.get(path, headers=who).json == shown.json


@METHODS
def test_an_empty_profile_can_be_sent_back(client, newcomer, method):
    _is_the_same_after(client, newcomer, method, "/profile")


@METHODS
@whatever_is_there
@given(profile=PROFILES)
def test_a_profile_can_be_sent_back(client, alice, method, profile):
    assert client.put("/profile", json=profile, headers=alice).status_code == 200

    _is_the_same_after(client, alice, method, "/profile")


@METHODS
@whatever_is_there
@given(address=ADDRESSES)
def test_an_address_can_be_sent_back(client, alice, method, address):
    path = f"/addresses/{client.post('/addresses', json={**PLACE, **address}, headers=alice).json['id']}"

    _is_the_same_after(client, alice, method, path)

    if address["is_default"]:  # or the book would fill up
        client.delete(path, headers=alice)


@METHODS
@pytest.mark.parametrize(
    ("field", "value"), [("user_id", 2), ("user_id", None), ("username", "bob"), ("email", "bob@example.com")]
)
def test_what_the_auth_service_knows_cannot_be_changed_here(client, alice, method, field, value):
    before = client.get("/profile", headers=alice).json

    refused = client.open("/profile", method=method, json={**before, "city": "Ely", field: value}, headers=alice)

    assert refused.status_code == 422
    assert refused.json["errors"] == [{"field": field, "message": "cannot be changed"}]
    assert client.get("/profile", headers=alice).json == before


@METHODS
def test_an_address_keeps_its_id(client, alice, method):
    address = client.post("/addresses", json=PLACE, headers=alice).json
    path = f"/addresses/{address['id']}"

    refused = client.open(path, method=method, json={**address, "id": address["id"] + 1}, headers=alice)

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "id")
    changed = client.open(path, method=method, json={"id": str(address["id"]), "city": "Bath"}, headers=alice)
    assert changed.json == {**address, "city": "Bath"}


def test_a_new_address_has_no_id_to_send(client, alice):
    refused = client.post("/addresses", json={**PLACE, "id": 1}, headers=alice)

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "id")
