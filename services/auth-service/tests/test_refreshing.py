"""Refresh tokens: who refreshes several times at once stays signed in, who comes later ends the session."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import flask_migrate
import pytest
import sqlalchemy as sa

from shopkit import migrate
from shopkit.database import now

ALICE = {"username": "alice", "password": "password123"}


@pytest.fixture
def signed_in(seeded, client):
    """Alice's session."""
    return client.post("/login", json=ALICE).json


@pytest.fixture
def ask(app):
    """`ask("/refresh", token)`, from any thread."""
    return lambda path, token: app.test_client().post(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def at_once(app):
    """Call all of these at the same moment."""

    def at_once(*calls):
        with ThreadPoolExecutor(len(calls)) as pool:
            return [each.result() for each in [pool.submit(call) for call in calls]]

    return at_once


@pytest.fixture
def clock(monkeypatch):
    """What the tokens take for the time: `clock.go_on(seconds=11)`."""
    import tokens

    class Clock:
        moment = now()

        def __call__(self):
            return self.moment

        def go_on(self, **by):
            self.moment += timedelta(**by)

    clock = Clock()
    monkeypatch.setattr(tokens, "now", clock)
    return clock


def test_who_refreshes_several_times_at_once_gets_equal_sessions_of_one_family(signed_in, ask, at_once):
    import jwt

    answers = at_once(*[lambda: ask("/refresh", signed_in["refresh_token"])] * 6)

    assert [answer.status_code for answer in answers] == [200] * 6
    pairs = [answer.json for answer in answers]
    for pair in (*pairs, signed_in):
        assert ask("/validate", pair["access_token"]).status_code == 200
    assert all(ask("/refresh", pair["refresh_token"]).status_code == 200 for pair in pairs)
    said = [jwt.decode(pair["refresh_token"], options={"verify_signature": False}) for pair in (*pairs, signed_in)]
    assert len({each["sid"] for each in said}) == 1
    assert len({each["jti"] for each in said}) == len(said)


def test_whoever_comes_with_a_refresh_token_later_ends_the_family(signed_in, ask, clock):
    pair = ask("/refresh", signed_in["refresh_token"]).json
    clock.go_on(seconds=10)
    within = ask("/refresh", signed_in["refresh_token"])
    clock.go_on(seconds=0.1)
    later = ask("/refresh", signed_in["refresh_token"])

    assert within.status_code == 200
    assert (later.status_code, later.json["code"]) == (401, "refresh_token_reused")
    assert later.headers["WWW-Authenticate"] == "Bearer"
    for tokens_of_the_family in (signed_in, pair, within.json):
        assert ask("/validate", tokens_of_the_family["access_token"]).status_code == 401
        assert ask("/refresh", tokens_of_the_family["refresh_token"]).status_code == 401


def test_the_ten_seconds_begin_with_the_first_use_and_not_with_the_last(signed_in, ask, clock):
    for _ in range(3):
        assert ask("/refresh", signed_in["refresh_token"]).status_code == 200
        clock.go_on(seconds=5)

    assert ask("/refresh", signed_in["refresh_token"]).status_code == 401


def test_another_session_of_the_same_person_goes_on(signed_in, client, ask, clock):
    other = client.post("/login", json=ALICE).json
    ask("/refresh", signed_in["refresh_token"])
    clock.go_on(minutes=1)
    ask("/refresh", signed_in["refresh_token"])

    assert ask("/validate", other["access_token"]).status_code == 200


def test_a_first_use_in_the_future_counts_as_one_of_this_moment(signed_in, ask, clock):
    ask("/refresh", signed_in["refresh_token"])
    clock.go_on(hours=-1)

    assert ask("/refresh", signed_in["refresh_token"]).status_code == 200
    clock.go_on(seconds=11)
    assert ask("/refresh", signed_in["refresh_token"]).status_code == 401


def test_a_used_token_that_several_bring_too_late_at_once_is_a_401_for_each(signed_in, ask, at_once, clock):
    ask("/refresh", signed_in["refresh_token"])
    clock.go_on(minutes=1)

    answers = at_once(*[lambda: ask("/refresh", signed_in["refresh_token"])] * 6)

    assert {answer.status_code for answer in answers} == {401}


def test_signing_out_while_others_refresh_leaves_nobody_signed_in(signed_in, ask, at_once):
    refreshing = [lambda: ask("/refresh", signed_in["refresh_token"])] * 4
    leaving = [lambda: ask("/logout", signed_in["access_token"])] * 3

    answers = at_once(*refreshing, *leaving)

    assert {answer.status_code for answer in answers[:4]} <= {200, 401}
    assert {answer.status_code for answer in answers[4:]} == {200}
    for pair in (answer.json for answer in answers[:4] if answer.status_code == 200):
        assert ask("/validate", pair["access_token"]).status_code == 401


def test_what_was_revoked_before_first_uses_were_noted_stays_revoked(settings, network, app, ask):
    import jwt

    import models
    import seed

    def claims(token):
        return jwt.decode(token, options={"verify_signature": False})

    with app.app_context():
        models.db.drop_all()
        migrate.init_app(app)
        flask_migrate.upgrade(revision="0002")
        seed.seed()
        models.db.session.remove()
        client = app.test_client()
        ended, used = (client.post("/login", json=ALICE).json for _ in range(2))
        old = sa.table("revoked_tokens", sa.column("id"), sa.column("expires_at", sa.DateTime(timezone=True)))
        ids = claims(ended["access_token"])["sid"], claims(used["refresh_token"])["jti"]
        models.db.session.execute(sa.insert(old), [{"id": each, "expires_at": now() + timedelta(9)} for each in ids])
        models.db.session.commit()
        flask_migrate.upgrade()
        models.db.session.remove()

    assert ask("/validate", ended["access_token"]).status_code == 401
    assert ask("/validate", used["access_token"]).status_code == 200
    assert ask("/refresh", used["refresh_token"]).json["code"] == "refresh_token_reused"
    assert ask("/validate", used["access_token"]).status_code == 401


class TestRefreshesOfADay:
    """What is kept of one account's refreshes has an end; its sessions last."""

    @pytest.fixture(autouse=True)
    def three_a_day(self, monkeypatch):
        import models

        monkeypatch.setattr(models, "REFRESHES_A_DAY", 3)

    def test_one_more_than_there_may_be_is_told_when_to_come_again_and_then_goes_on(self, signed_in, ask, clock):
        session = signed_in
        for _ in range(3):
            session = ask("/refresh", session["refresh_token"]).json
            clock.go_on(hours=1)

        refused = ask("/refresh", session["refresh_token"])
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_today")
        assert refused.headers["Retry-After"] == str(21 * 60 * 60)

        clock.go_on(hours=21)
        assert ask("/refresh", session["refresh_token"]).status_code == 200

    def test_tabs_that_refresh_at_once_count_once_and_others_are_not_counted(self, signed_in, ask, client):
        tokens = {ask("/refresh", signed_in["refresh_token"]).status_code for _ in range(5)}
        bob = client.post("/login", json={**ALICE, "username": "bob"}).json

        assert tokens == {200}
        for _ in range(3):
            answer = ask("/refresh", bob["refresh_token"])
            assert answer.status_code == 200
            bob = answer.json
        assert ask("/refresh", signed_in["refresh_token"]).status_code == 200
