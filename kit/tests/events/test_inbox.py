import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shopkit import retention
from shopkit.database import now
from shopkit.events import inbox

PATH = "/internal/events"


@pytest.fixture
def tell(hearer, service):
    """Tell the hearer something; says what it answers."""
    return lambda event: hearer.test_client().post(PATH, json=event, headers=service)


@pytest.fixture
def entries(hearer):
    """What is in the inbox."""
    db = hearer.extensions["sqlalchemy"]

    def entries():
        with hearer.app_context():
            return db.session.execute(sa.select(db.metadata.tables["inbox"])).all()

    return entries


def test_an_event_has_its_effect(tell, event, effects, entries):
    response = tell(event(5))

    assert (response.status_code, response.data) == (204, b"")
    assert effects() == [5]
    assert [(entry.event_id, entry.handler) for entry in entries()] == [
        ("7c0ac1de-0f43-4a4e-8a30-4e5f0f6f9a01", "has_an_effect")
    ]


def test_the_same_event_acts_once_however_often_it_comes(tell, event, effects):
    statuses = [tell(event(5)).status_code for _ in range(3)]

    assert statuses == [204, 204, 204]
    assert effects() == [5]


def test_the_same_event_acts_once_though_it_comes_several_times_at_once(tell, event, effects):
    together, statuses = threading.Barrier(6), []

    def hear():
        together.wait()
        statuses.append(tell(event(5)).status_code)

    threads = [threading.Thread(target=hear) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert statuses == [204] * 6
    assert effects() == [5]


def test_an_effect_that_fails_leaves_nothing_and_can_be_tried_again(tell, event, effects, entries):
    assert tell(event(13)).status_code == 500
    assert (effects(), entries()) == ([], [])

    assert tell(event(14)).status_code == 204
    assert effects() == [14]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "user.eaten"}, "The profile-service has not subscribed to user.eaten."),
        ({"user_id": "five"}, "user.registered: user_id: Input should be a valid integer"),
        ({"password": "secret"}, "user.registered: password: Extra inputs"),
    ],
)
def test_what_is_not_as_its_class_says_is_refused(tell, event, effects, entries, change, words):
    response = tell(event(**change))

    assert response.status_code == 422
    assert words in response.json["detail"]
    assert "secret" not in response.text
    assert (effects(), entries()) == ([], [])


def test_what_is_not_for_us_is_refused(tell, event, order):
    response = tell({**event(), "name": "order.cancelled", "payload": order})

    assert response.status_code == 422
    assert response.json["detail"] == "The profile-service has not subscribed to order.cancelled."


@pytest.mark.parametrize("change", [{"id": "five"}, {"occurred_at": "2026-03-01T12:00:00"}, {"payload": []}])
def test_what_is_no_event_is_refused(tell, event, change):
    response = tell({**event(), **change})

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, next(iter(change)))


def test_only_services_tell_anything(hearer, event, admin):
    client = hearer.test_client()

    assert client.post(PATH, json=event()).status_code == 401
    assert client.post(PATH, json=event(), headers=admin).status_code == 403


def test_entries_are_forgotten_when_their_events_can_no_longer_come(hearer, tell, event, entries, monkeypatch):
    monkeypatch.setattr(inbox, "now", lambda: now() - timedelta(days=91))
    tell(event())
    monkeypatch.undo()
    tell(event(6, "7c0ac1de-0f43-4a4e-8a30-4e5f0f6f9a02"))

    with hearer.app_context():
        retention.sweep()

    assert [entry.event_id[-1] for entry in entries()] == ["2"]


def test_who_hears_has_no_relay(hearer):
    assert [job.run.__name__ for job in hearer.extensions["jobs"]] == ["sweep"]


def test_what_was_handled_under_a_key_stays_handled_when_the_function_is_renamed(hearer, tell, event, effects):
    tell(event(5))
    kind, subscription = hearer.extensions["event_subscriptions"]["user.registered"]

    def another_name(user):
        subscription.handle(user)

    hearer.extensions["event_subscriptions"]["user.registered"] = (kind, replace(subscription, handle=another_name))

    assert tell(event(5)).status_code == 204
    assert effects() == [5]
