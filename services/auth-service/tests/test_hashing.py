"""What is kept of passwords, and that to hash them holds nobody up."""

import threading

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher, extract_parameters

ALICE = {"username": "alice", "password": "password123"}
OLD = PasswordHasher(time_cost=1, memory_cost=64, parallelism=4)
LONG = 20  # seconds


@pytest.fixture
def kept(seeded):
    """`kept()` is what is kept of alice's password, `kept(other)` keeps something else."""
    import models

    def kept(other=None):
        this = models.User.username == "alice"
        with seeded.app_context(), models.db.engine.begin() as connection:
            if other is not None:
                connection.execute(sa.update(models.User).where(this).values(password_hash=other))
            return connection.scalar(sa.select(models.User.password_hash).where(this))

    return kept


def test_a_hash_is_worth_what_owasp_asks_for_and_nobodys_costs_the_same(kept):
    import hashing

    parameters = extract_parameters(kept())

    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost) == ("ID", 9 * 1024, 4)
    assert parameters == extract_parameters(hashing.NOBODYS)


def test_an_old_hash_still_fits_and_is_renewed_by_signing_in_only(client, kept):
    old = kept(OLD.hash("password123"))

    assert client.post("/login", json={**ALICE, "password": "wrong"}).status_code == 401
    assert kept() == old
    assert client.post("/login", json=ALICE).status_code == 200
    new = kept()
    assert extract_parameters(new).memory_cost == 9 * 1024
    assert client.post("/login", json=ALICE).status_code == 200
    assert kept() == new


def test_a_password_that_was_changed_meanwhile_stays_changed(client, kept, monkeypatch):
    import hashing

    kept(OLD.hash("password123"))
    changed, real = OLD.hash("another"), hashing.verify

    def verify(*args):
        verdict = real(*args)
        kept(changed)
        return verdict

    monkeypatch.setattr(hashing, "verify", verify)

    assert client.post("/login", json=ALICE).status_code == 200
    assert kept() == changed


def test_one_signs_in_though_the_hash_cannot_be_renewed(seeded, client, kept, monkeypatch):
    import models

    old = kept(OLD.hash("password123"))
    with seeded.app_context():
        engine = models.db.engine

    def refuse(connection, cursor, statement, *_):
        if statement.startswith("UPDATE"):
            raise sa.exc.OperationalError(statement, None, Exception("the disk is full"))

    sa.event.listen(engine, "before_cursor_execute", refuse)
    try:
        assert client.post("/login", json=ALICE).status_code == 200
    finally:
        sa.event.remove(engine, "before_cursor_execute", refuse)
    assert kept() == old


class Gate:
    """A hasher that hashes when it is let."""

    def __init__(self, hasher):
        self.hasher, self.opens, self.inside, self.most = hasher, threading.Event(), 0, 0
        self.lock = threading.Lock()

    def verify(self, *args):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.opens.wait(LONG)
        with self.lock:
            self.inside -= 1
        return self.hasher.verify(*args)

    def __getattr__(self, name):
        return getattr(self.hasher, name)


@pytest.fixture
def gate(monkeypatch):
    import hashing
    from shopkit.slots import Slots

    gate = Gate(hashing.hasher)
    monkeypatch.setattr(hashing, "hasher", gate)
    monkeypatch.setattr(hashing, "_slots", Slots(hashing.AT_ONCE, hashing.PLACES, LONG))
    yield gate
    gate.opens.set()


def _sign_in(app, answers):
    thread = threading.Thread(target=lambda: answers.append(app.test_client().post("/login", json=ALICE)))
    thread.start()
    return thread


def test_two_passwords_are_hashed_at_once_and_whoever_is_too_many_is_told_so(seeded, client, gate):
    import hashing

    answers, most = [], hashing.AT_ONCE + hashing.PLACES
    people = [_sign_in(seeded, answers) for _ in range(most + 5)]
    for _ in range(LONG * 1000):
        if len(answers) == 5:
            break
        people[0].join(0.001)

    assert [(each.status_code, each.json["code"], each.headers["Retry-After"]) for each in answers] == [
        (503, "busy", "1")
    ] * 5
    new = {"username": "carol", "email": "carol@example.com", "password": "correct horse"}
    assert client.post("/register", json=new).status_code == 503
    gate.opens.set()
    for person in people:
        person.join(LONG)
    assert sorted(each.status_code for each in answers) == [200] * most + [503] * 5
    assert gate.most == hashing.AT_ONCE


def test_who_waits_for_a_hash_holds_no_connection_to_the_database(seeded, gate):
    """Else twenty who sign in would have them all, and nobody's token could be looked up."""
    import hashing
    import models

    answers = []
    people = [_sign_in(seeded, answers) for _ in range(hashing.AT_ONCE + hashing.PLACES)]
    for _ in range(LONG * 1000):
        if hashing._slots.waiting == hashing.PLACES and gate.inside == hashing.AT_ONCE:
            break
        people[0].join(0.001)

    with seeded.app_context():
        assert models.db.engine.pool.checkedout() == 0
    gate.opens.set()
    for person in people:
        person.join(LONG)
    assert [each.status_code for each in answers] == [200] * len(people)
