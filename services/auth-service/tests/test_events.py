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


@pytest.fixture
def session(client):
    client.post("/register", json=CAROL)
    return client.post("/login", json={"username": "carol", "password": CAROL["password"]}).json


def _with(token):
    return {"Authorization": f"Bearer {token}"}


def _ended(told):
    return [(target, payload) for name, target, payload in told() if name == "session.ended"]


def test_a_session_that_ends_is_told_once_and_by_the_name_that_its_tokens_have(client, told, session):
    said = client.post("/validate", headers=_with(session["access_token"])).json
    for token in ("access_token", "refresh_token", "access_token"):
        client.post("/logout", headers=_with(session[token]))

    expected = {"session_id": said["session_id"], "user_id": session["user"]["id"]}
    assert _ended(told) == [("customer-support-service", expected)]


def test_a_session_that_ends_because_a_refresh_token_comes_again_is_told_too(client, told, session, monkeypatch):
    import tokens

    refresh = _with(session["refresh_token"])
    assert client.post("/refresh", headers=refresh).status_code == 200
    assert _ended(told) == []
    monkeypatch.setattr(tokens, "REUSE", -tokens.REUSE)

    assert client.post("/refresh", headers=refresh).status_code == 401
    assert len(_ended(told)) == 1


def test_the_token_of_a_service_ends_no_session_of_anybody(app, settings, client, told):
    from tokens import Tokens

    with app.app_context():
        token = Tokens.by(settings).own_token()

    assert client.post("/logout", headers=_with(token)).status_code == 200
    assert told() == []


@pytest.mark.parametrize(
    ("role", "password", "number"), [("support", False, 1), ("customer", True, 1), ("customer", False, 0)]
)
def test_an_account_that_gets_another_role_or_password_is_told(app, told, session, role, password, number):
    import make_admin

    with app.app_context():
        make_admin.appoint("carol", role, new_password=password, ask=lambda: "another password")

    changed = [(target, payload) for name, target, payload in told() if name == "account.changed"]
    assert changed == [("customer-support-service", {"user_id": session["user"]["id"]})] * number
