from datetime import timedelta

import pytest


def _bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def signed_in(seeded, client):
    """Alice's session."""
    return client.post("/login", json={"username": "alice", "password": "password123"}).json


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com"])
def test_one_signs_in_by_username_or_address(seeded, client, name):
    response = client.post("/login", json={"username": name, "password": "password123"})

    assert response.status_code == 200
    assert response.json.keys() == {"user", "access_token", "refresh_token", "token_type", "expires_in"}
    assert (response.json["user"]["username"], response.json["token_type"]) == ("alice", "Bearer")
    assert response.json["expires_in"] == 15 * 60


@pytest.mark.parametrize(
    "credentials",
    [{"username": "alice", "password": "wrong"}, {"username": "nobody", "password": "password123"}],
)
def test_a_wrong_name_and_a_wrong_password_answer_the_same(seeded, client, credentials):
    response = client.post("/login", json=credentials)

    assert (response.status_code, response.json["code"]) == (401, "wrong_credentials")
    assert response.json["error"] == "The username or the password is wrong."
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_validate_says_whose_token_it_is(client, signed_in):
    response = client.post("/validate", headers=_bearer(signed_in["access_token"]))

    assert response.status_code == 200
    assert response.json["valid"] is True
    assert response.json["user"] == {"id": 1, "username": "alice", "email": "alice@example.com", "role": "customer"}
    assert response.json["expires_at"].endswith("Z")


def test_logging_out_refuses_both_tokens_from_the_next_request_on(client, signed_in):
    assert client.post("/logout", headers=_bearer(signed_in["access_token"])).status_code == 200

    assert client.post("/validate", headers=_bearer(signed_in["access_token"])).status_code == 401
    assert client.post("/refresh", headers=_bearer(signed_in["refresh_token"])).status_code == 401


def test_logging_out_ends_the_tokens_from_before_a_refresh_too(client, signed_in):
    new = client.post("/refresh", headers=_bearer(signed_in["refresh_token"])).json
    client.post("/logout", headers=_bearer(new["access_token"]))

    assert client.post("/validate", headers=_bearer(signed_in["access_token"])).status_code == 401


def test_logging_out_leaves_other_sessions_alone(client, signed_in):
    other = client.post("/login", json={"username": "alice", "password": "password123"}).json
    client.post("/logout", headers=_bearer(signed_in["access_token"]))

    assert client.post("/validate", headers=_bearer(other["access_token"])).status_code == 200


def test_a_refresh_token_gives_a_new_pair_once(client, signed_in):
    first = client.post("/refresh", headers=_bearer(signed_in["refresh_token"]))
    second = client.post("/refresh", headers=_bearer(signed_in["refresh_token"]))

    assert first.status_code == 200
    assert client.post("/validate", headers=_bearer(first.json["access_token"])).status_code == 200
    assert second.status_code == 401


def test_two_refreshes_at_once_give_one_pair(client, signed_in, monkeypatch):
    import tokens

    client.post("/refresh", headers=_bearer(signed_in["refresh_token"]))
    monkeypatch.setattr(tokens, "is_revoked", lambda *_: False)  # the other one looked just before

    assert client.post("/refresh", headers=_bearer(signed_in["refresh_token"])).status_code == 401


@pytest.mark.parametrize(("path", "kind"), [("/validate", "refresh_token"), ("/refresh", "access_token")])
def test_a_token_of_the_other_kind_is_refused(client, signed_in, path, kind):
    assert client.post(path, headers=_bearer(signed_in[kind])).status_code == 401


@pytest.mark.parametrize("path", ["/validate", "/refresh", "/logout"])
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic YWxpY2U6cA==", "Bearer a.b.c"])
def test_without_a_token_that_holds_it_is_a_401(client, path, header):
    response = client.post(path, headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_that_has_expired_is_refused(app, seeded, client):
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(seconds=-1)
    expired = client.post("/login", json={"username": "alice", "password": "password123"}).json["access_token"]

    assert client.post("/validate", headers=_bearer(expired)).status_code == 401


def test_a_token_signed_by_somebody_else_is_refused(client, signed_in):
    import jwt

    claims = jwt.decode(signed_in["access_token"], options={"verify_signature": False})
    forged = jwt.encode(claims, "another secret that is long enough for it", algorithm="HS256")

    assert client.post("/validate", headers=_bearer(forged)).status_code == 401


def test_the_token_of_an_account_that_is_gone_is_refused(app, client, signed_in):
    import models

    with app.app_context():
        models.db.session.delete(models.db.session.get(models.User, 1))
        models.db.session.commit()

    assert client.post("/validate", headers=_bearer(signed_in["access_token"])).status_code == 401


def test_what_has_expired_is_forgotten(app, client, signed_in):
    import sqlalchemy as sa

    import models

    with app.app_context():
        models.revoke("long ago", models.now() - timedelta(days=1))
        models.db.session.commit()
    client.post("/logout", headers=_bearer(signed_in["access_token"]))

    with app.app_context():
        assert models.db.session.scalar(sa.select(sa.func.count(models.RevokedToken.id))) == 1


class TestServiceAccounts:
    RIGHT = {
        "grant_type": "client_credentials",
        "client_id": "order-service",
        "client_secret": "a service's secret",
    }

    def test_a_service_gets_a_short_token_of_its_own(self, client):
        granted = client.post("/token", json=self.RIGHT)

        assert granted.status_code == 200
        assert granted.json["expires_in"] == 600
        who = client.post("/validate", headers=_bearer(granted.json["access_token"])).json["user"]
        assert who == {"id": 0, "username": "order-service", "email": "", "role": "service"}

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"client_secret": "wrong"}, 401),
            ({"client_id": "nobody"}, 401),
            ({"client_id": "nobody", "client_secret": ""}, 401),
            ({"grant_type": "password"}, 422),
        ],
    )
    def test_wrong_credentials_get_none(self, client, change, status):
        assert client.post("/token", json={**self.RIGHT, **change}).status_code == status


def test_seeding_twice_changes_nothing(seeded):
    import sqlalchemy as sa

    import models
    import seed

    with seeded.app_context():
        seed.seed()
        names = models.db.session.scalars(sa.select(models.User.username).order_by(models.User.id)).all()

    assert names == ["alice", "bob", "support", "admin"]


def test_validating_does_not_wait_for_a_writer(seeded, client, signed_in):
    import sqlalchemy as sa

    import models

    with seeded.app_context(), models.db.engine.begin() as writing:
        writing.execute(sa.delete(models.RevokedToken))
        response = client.post("/validate", headers=_bearer(signed_in["access_token"]))

    assert response.status_code == 200
