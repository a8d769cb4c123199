from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from shopkit import retention
from shopkit.database import now


def _bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def changed():
    """Settings that are others than usual."""
    return {}


@pytest.fixture
def settings(settings, changed):
    return replace(settings, **changed)


@pytest.fixture
def signed_in(seeded, client):
    """Alice's session."""
    return client.post("/login", json={"username": "alice", "password": "password123"}).json


@pytest.fixture
def reissued(settings, signed_in):
    """A token of alice's with other claims: moments in seconds from now, or None to leave one out."""
    import jwt

    def reissued(kind, **changes):
        said = jwt.decode(signed_in[kind], options={"verify_signature": False})
        for claim, seconds in changes.items():
            said[claim] = seconds and int((now() + timedelta(seconds=seconds)).timestamp())
        said = {claim: value for claim, value in said.items() if value is not None}
        return jwt.encode(said, settings.jwt_secret_key, algorithm="HS256")

    return reissued


@pytest.mark.parametrize("field", ["username", "email"])
@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com"])
def test_one_signs_in_by_username_or_address_under_either_name(seeded, client, field, name):
    response = client.post("/login", json={field: name, "password": "password123"})

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


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ({"username": "alice", "email": "alice"}, 200),
        ({"username": None, "email": "alice"}, 200),
        ({"username": "alice", "email": None}, 200),
        ({"username": "alice", "email": "bob"}, 422),
        ({"username": "alice", "email": ""}, 422),
        ({}, 422),
        ({"username": None}, 422),
        ({"username": 1}, 422),
    ],
)
def test_one_name_is_enough_and_two_have_to_be_the_same(seeded, client, names, status):
    response = client.post("/login", json={**names, "password": "password123"})

    assert response.status_code == status
    if status == 422:
        assert [error["field"] for error in response.json["errors"]] == ["username"]


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_credentials_that_are_too_long_are_not_even_hashed(seeded, client, field, monkeypatch):
    import hashing

    monkeypatch.delattr(hashing, "hasher")

    response = client.post("/login", json={"username": "alice", "password": "password123"} | {field: "x" * 1000})

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, field)


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


def test_signing_out_twice_is_harmless(client, signed_in):
    for token in ("access_token", "access_token", "refresh_token"):
        assert client.post("/logout", headers=_bearer(signed_in[token])).status_code == 200


@pytest.mark.parametrize(("path", "kind"), [("/validate", "refresh_token"), ("/refresh", "access_token")])
def test_a_token_of_the_other_kind_is_refused(client, signed_in, path, kind):
    assert client.post(path, headers=_bearer(signed_in[kind])).status_code == 401


@pytest.mark.parametrize("path", ["/validate", "/refresh", "/logout"])
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic YWxpY2U6cA==", "Bearer a.b.c"])
def test_without_a_token_that_holds_it_is_a_401(client, path, header):
    response = client.post(path, headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("claim", "seconds", "status"),
    [
        ("exp", -20, 200),
        ("exp", -40, 401),
        ("nbf", 20, 200),
        ("nbf", 40, 401),
        ("iat", 24 * 3600, 200),  # the clock was set back by a day
    ],
)
@pytest.mark.parametrize(("path", "kind"), [("/validate", "access_token"), ("/refresh", "refresh_token")])
def test_clocks_may_differ_a_little_and_when_a_token_was_made_is_of_no_matter(
    reissued, client, path, kind, claim, seconds, status
):
    token = reissued(kind, **{claim: seconds})

    assert client.post(path, headers=_bearer(token)).status_code == status


@pytest.mark.parametrize("changed", [{"token_leeway_seconds": 0}])
def test_how_much_clocks_may_differ_is_a_setting(reissued, client):
    assert client.post("/validate", headers=_bearer(reissued("access_token", exp=-1))).status_code == 401


def test_validate_says_when_a_token_ends_and_not_until_when_it_is_tolerated(reissued, client):
    answer = client.post("/validate", headers=_bearer(reissued("access_token", exp=-20))).json

    assert timedelta(seconds=10) < now() - datetime.fromisoformat(answer["expires_at"]) < timedelta(seconds=30)


def test_a_token_holds_from_the_beginning_whatever_the_clock_does(signed_in):
    import jwt

    assert "nbf" not in jwt.decode(signed_in["access_token"], options={"verify_signature": False})


@pytest.mark.parametrize("claim", ["sid", "jti", "type", "sub", "exp"])
def test_a_token_that_does_not_say_enough_is_refused(reissued, client, claim):
    assert client.post("/validate", headers=_bearer(reissued("access_token", **{claim: None}))).status_code == 401


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


@pytest.mark.parametrize("changed", [{"access_token_minutes": 100 * 24 * 60}, {"refresh_token_days": 100}])
def test_a_session_stays_ended_as_long_as_any_of_its_tokens_could_hold(app, client, signed_in):
    import models

    client.post("/logout", headers=_bearer(signed_in["access_token"]))

    with app.app_context():
        [kept] = models.db.session.scalars(sa.select(models.RevokedToken.expires_at))
    assert kept >= now() + timedelta(days=100, seconds=30 - 5)


def test_a_role_that_is_given_or_taken_holds_from_the_next_request_on(app, client, signed_in):
    import models

    for role in ("admin", "customer"):
        with app.app_context():
            models.db.session.get(models.User, 1).role = role
            models.db.session.commit()

        said = client.post("/validate", headers=_bearer(signed_in["access_token"])).json["user"]
        assert said["role"] == role


def test_what_has_expired_is_forgotten(app, client, signed_in):
    import models

    with app.app_context():
        models.revoke("long ago", now() - timedelta(days=1))
        models.db.session.commit()
    client.post("/logout", headers=_bearer(signed_in["access_token"]))

    with app.app_context():
        retention.sweep()
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
            ({"client_id": "x" * 1000}, 422),
            ({"client_secret": "x" * 1000}, 422),
        ],
    )
    def test_wrong_credentials_get_none(self, client, change, status):
        assert client.post("/token", json={**self.RIGHT, **change}).status_code == status


def test_seeding_twice_changes_nothing(seeded):
    import models
    import seed

    with seeded.app_context():
        seed.seed()
        names = models.db.session.scalars(sa.select(models.User.username).order_by(models.User.id)).all()

    assert names == ["alice", "bob", "support", "admin"]


def test_validating_does_not_wait_for_a_writer(seeded, client, signed_in):
    import models

    with seeded.app_context(), models.db.engine.begin() as writing:
        writing.execute(sa.delete(models.RevokedToken))
        response = client.post("/validate", headers=_bearer(signed_in["access_token"]))

    assert response.status_code == 200


def test_a_deleted_accounts_token_is_not_that_of_who_registers_next(app, client):
    import models

    def register(name):
        new = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
        return client.post("/register", json=new).json["id"]

    deleted = register("carol")
    session = client.post("/login", json={"username": "carol", "password": "correct horse"}).json
    with app.app_context():
        models.db.session.execute(models.sa.delete(models.User).filter_by(id=deleted))
        models.db.session.commit()

    assert register("dave") > deleted
    assert client.post("/validate", headers=_bearer(session["access_token"])).status_code == 401
    assert client.post("/refresh", headers=_bearer(session["refresh_token"])).status_code == 401
