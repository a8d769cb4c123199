from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

CAROL = {"username": "carol", "email": "carol@example.com", "password": "a good password"}


@pytest.fixture
def told(app):
    """Name, target and payload of every event."""
    import models

    def told():
        outbox = models.db.metadata.tables["outbox"]
        with app.app_context():
            return [(row.name, row.target, row.payload) for row in models.db.session.execute(sa.select(outbox))]

    return told


def test_a_new_account_is_told(client, told):
    account = client.post("/register", json=CAROL).json

    assert told() == [("user.registered", "profile-service", {"user_id": account["id"], "username": "carol"})]


def test_an_account_that_is_not_opened_is_not_told(client, told):
    client.post("/register", json={**CAROL, "password": "short"})
    assert told() == []

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.application.test_client().post("/register", json=CAROL), range(4)))
    client.post("/register", json=CAROL)

    assert len(told()) == 1


def test_the_profile_service_is_told_with_a_token_that_we_ourselves_accept(app, client, network):
    from shopkit import events

    network.on("POST", "/internal/events", status=204)
    client.post("/register", json=CAROL)

    with app.app_context():
        events.relay()

    [request] = network.requests
    assert request.url == "http://127.0.0.1:5002/internal/events"
    said = client.post("/validate", headers={"Authorization": request.headers["Authorization"]}).json["user"]
    assert (said["username"], said["role"]) == ("auth-service", "service")
