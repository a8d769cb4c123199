"""How much one person may ask and say in a day, through whichever door."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

import conversation
from shopkit import quotas

QUESTION = {"subject": "A lamp", "message": "Is it dimmable?"}


class Clock:
    def __init__(self):
        self.moment = datetime(2026, 11, 26, 12, tzinfo=UTC)

    def __call__(self):
        return self.moment


@pytest.fixture
def clock(monkeypatch, app):
    import models

    clock = Clock()
    for module in (quotas, conversation, models):
        monkeypatch.setattr(module, "now", clock)

    def stamp(_mapper, _connection, row):  # SQLAlchemy keeps the default of a column with the statement, beyond a test
        row.created_at = clock()

    for kind in (models.Ticket, models.Message):
        sa.event.listen(kind, "before_insert", stamp)
    yield clock
    for kind in (models.Ticket, models.Message):
        sa.event.remove(kind, "before_insert", stamp)


@pytest.fixture
def ask(client):
    return lambda who, **headers: client.post("/tickets", headers={**who, **headers}, json=QUESTION)


@pytest.fixture
def say(client):
    return lambda who, ticket=1: client.post(f"/tickets/{ticket}/messages", headers=who, json={"message": "Well?"})


@pytest.fixture
def few(monkeypatch):
    """Two tickets and three messages a day."""
    monkeypatch.setattr(conversation, "TICKETS_A_DAY", 2)
    monkeypatch.setattr(conversation, "MESSAGES_A_DAY", 3)


@pytest.mark.usefixtures("few")
class TestADay:
    def test_who_has_asked_enough_is_told_when_to_come_again(self, ask, alice, clock):
        ask(alice)
        clock.moment += timedelta(hours=1)
        ask(alice)

        refused = ask(alice)
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_today")
        assert refused.headers["Retry-After"] == str(23 * 3600)

        clock.moment += timedelta(hours=23)
        assert ask(alice).status_code == 201
        assert ask(alice).headers["Retry-After"] == str(3600)

    def test_the_first_message_of_a_ticket_counts(self, ask, say, alice, clock):
        assert [ask(alice).status_code, say(alice).status_code, say(alice).status_code] == [201] * 3

        assert [say(alice).status_code, ask(alice).status_code] == [429, 429]

    def test_what_is_refused_leaves_nothing_and_the_key_free(self, ask, client, alice, clock):
        ask(alice), ask(alice)

        refused = ask(alice, **{"Idempotency-Key": "again"})
        clock.moment += timedelta(days=1)
        taken = ask(alice, **{"Idempotency-Key": "again"})

        assert (refused.status_code, taken.status_code) == (429, 201)
        assert len(client.get("/tickets", headers=alice).json) == 3

    def test_a_repetition_is_answered_however_much_was_asked(self, ask, alice, clock):
        key = {"Idempotency-Key": "once"}
        first = ask(alice, **key)
        ask(alice)

        assert ask(alice, **key).json == first.json

    def test_everybody_is_counted_alone_and_staff_are_not(self, ask, say, alice, bob, support):
        ask(alice), ask(alice), say(alice)

        assert ask(bob).status_code == 201
        assert {say(support).status_code for _ in range(5)} == {201}
        assert say(alice).status_code == 429

    def test_sockets_and_http_count_together(self, app, ask, say, alice):
        socket = app.extensions["socketio"].test_client(app, auth={"token": "alice"})
        assert socket.emit("contact_form", QUESTION, callback=True)["ok"]
        ask(alice)

        for event, body in (("contact_form", QUESTION), ("chat_message", {"ticket_id": 1, "message": "Well?"})):
            answer = socket.emit(event, body, callback=True)
            if event == "chat_message":
                assert answer["ok"]
                answer = socket.emit(event, body, callback=True)
            assert (answer["ok"], answer["status"], answer["code"]) == (False, 429, "too_many_today")
            assert 0 < answer["retry_after"] <= 24 * 3600
        assert say(alice).status_code == 429

    def test_of_several_at_once_no_more_get_in(self, app, client, alice):
        start, answers = Barrier(6), []

        def run():
            mine = app.test_client()
            start.wait()
            answers.append(mine.post("/tickets", headers=alice, json=QUESTION).status_code)

        threads = [Thread(target=run) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

        assert sorted(answers) == [201, 201, 429, 429, 429, 429]
        assert len(client.get("/tickets", headers=alice).json) == 2


def test_a_clock_that_was_set_back_makes_nobody_wait_longer_than_a_day(ask, alice, clock, few):
    ask(alice), ask(alice)

    clock.moment -= timedelta(days=100)

    assert ask(alice).headers["Retry-After"] == str(24 * 3600)
