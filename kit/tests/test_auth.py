import pytest

from shopkit.auth import User


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("alice", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Basic alice", 401),
        ("Bearer nobody", 401),
        ("Bearer alice", 404),
        ("bearer alice", 404),
    ],
)
def test_a_route_without_a_mark_is_for_people_who_signed_in(client, header, status):
    response = client.get("/notes/1", headers={"Authorization": header} if header else {})

    assert response.status_code == status
    assert response.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


def test_a_public_route_asks_nobody(client, network):
    assert client.get("/notes").status_code == 200
    assert network.calls == []


def test_a_narrowed_route_is_for_its_roles_only(client, alice, support, admin):
    statuses = [client.delete("/notes", headers=who).status_code for who in (alice, support, admin)]

    assert statuses == [403, 204, 204]


def test_an_internal_route_is_for_services_only_whatever_its_mark(client, alice, admin, service):
    statuses = [client.post("/internal/notes", headers=who).status_code for who in ({}, alice, admin, service)]

    assert statuses == [401, 403, 403, 200]


def test_a_service_is_no_customer(client, service):
    assert client.get("/notes/1", headers=service).status_code == 403


def test_the_auth_service_is_asked_about_every_request(client, network, alice):
    for _ in range(2):
        client.get("/notes/1", headers=alice)

    assert network.calls == [("POST", "/validate")] * 2


def test_when_the_auth_service_is_away_nobody_gets_in(client, network, alice):
    network.down("POST", "/validate")

    response = client.get("/notes/1", headers=alice)

    assert (response.status_code, response.json["error"]) == (502, "The auth-service is not available.")


def test_somebody_elses_note_is_one_that_does_not_exist(client, alice, bob):
    client.post("/notes", json={"text": "mine"}, headers=alice)

    assert client.get("/notes/1", headers=alice).json == {"id": 1, "text": "mine"}
    assert client.get("/notes/1", headers=bob).json["error"] == "There is no note 1."


def test_staff_is_support_and_admin():
    assert [User(1, "x", "x@y", role).is_staff for role in ("customer", "support", "admin", "service")] == [
        False,
        True,
        True,
        False,
    ]
