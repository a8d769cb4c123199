import re
import sys
import types

import orjson
import pytest

from shopkit import logs
from shopkit.errors import UpstreamRefused
from shopkit.events import __main__ as command
from shopkit.events import outbox, rabbitmq


@pytest.fixture
def parked(teller, publish):
    """Events that were refused; their ids."""

    class Refusing:
        def __enter__(self):
            return self.send

        def __exit__(self, *_):
            pass

        def send(self, target, event):
            if target == "product-service":
                raise UpstreamRefused("The product-service answered 422.")

    ids = [publish(), publish()]
    outbox.relay(Refusing)
    return ids


class Message:
    """A dead letter."""

    def __init__(self, body, **headers):
        self.body, self.headers = body, headers


@pytest.fixture
def dead(monkeypatch):
    """Whatever a test puts in here is a dead letter; says what was redriven."""
    letters, redriven = [], []

    class DeadLetters:
        def __init__(self, url, name):
            assert (url, name) == ("amqp://broker", "profile-service")

        def __enter__(self):
            return ((message, lambda message=message: redriven.append(message.body)) for message in letters)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(rabbitmq, "dead_letters", DeadLetters)
    return letters, redriven


@pytest.fixture
def profile(hearer):
    """A service that listens to a broker, with its context open."""
    hearer.config["AMQP_URL"] = "amqp://broker"
    with hearer.app_context():
        yield


def test_nothing_is_parked(teller, publish):
    publish()

    assert command.run(["list"]) == ""
    assert command.run(["redrive", "--all"]) == "0 redriven\n"


def test_what_is_parked_is_listed(parked):
    lines = command.run(["list"]).splitlines()

    assert lines == [
        f"{event_id}  order.cancelled  product-service  The product-service answered 422." for event_id in parked
    ]


def test_an_event_is_shown_with_all_there_is_to_know(parked, order):
    shown = orjson.loads(command.run(["show", parked[0]]))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", shown.pop("occurred_at"))
    assert shown == {
        "id": parked[0],
        "name": "order.cancelled",
        "target": "product-service",
        "attempts": 1,
        "reason": "The product-service answered 422.",
        "payload": order,
    }


def test_one_is_redriven_or_all_are(parked):
    assert command.run(["redrive", parked[0]]) == "1 redriven\n"
    assert [row.id for row in outbox.parked()] == parked[1:]
    assert command.run(["redrive", "--all"]) == "1 redriven\n"
    assert outbox.parked() == []


def test_dead_letters_are_listed_and_shown_whatever_they_are(profile, dead, event):
    letters, _ = dead
    death = {"x-first-death-reason": "delivery_limit", "x-delivery-count": 5}
    letters += [Message(orjson.dumps(event()), **death), Message("no JSON"), Message(b"[1]")]

    lines = command.run(["list"]).splitlines()

    assert lines == [
        f"{event()['id']}  user.registered  profile-service  dead letter (delivery_limit)",
        "?  ?  profile-service  dead letter (?)",
        "?  ?  profile-service  dead letter (?)",
    ]
    assert orjson.loads(command.run(["show", event()["id"]]))["payload"] == event()["payload"]
    assert '"payload": "no JSON"' in command.run(["show", "?"])


def test_dead_letters_are_redriven(profile, dead, event):
    letters, redriven = dead
    letters += [Message(orjson.dumps(event())), Message("no JSON")]

    assert command.run(["redrive", event()["id"]]) == "1 redriven\n"
    assert redriven == [letters[0].body]
    assert command.run(["redrive", "--all"]) == "2 redriven\n"


def test_who_has_no_broker_has_no_dead_letters(hearer, dead):
    dead[0].append(Message("no JSON"))
    with hearer.app_context():
        assert command.run(["list"]) == ""


@pytest.mark.parametrize("arguments", [[], ["show"], ["redrive"], ["eat"], ["redrive", "5", "--all"]])
def test_what_is_not_understood_is_explained(arguments, capsys):
    with pytest.raises(SystemExit):
        command.run(arguments)

    assert "usage: python -m shopkit.events" in capsys.readouterr().err


def test_it_works_for_the_service_of_this_folder(teller, monkeypatch, capsys, parked):
    monkeypatch.setitem(sys.modules, "app", types.SimpleNamespace(create_app=lambda: teller))
    monkeypatch.setattr(logs, "set_up", lambda _: None)
    monkeypatch.setattr(sys, "path", list(sys.path))

    command.main(["list"])

    assert parked[0] in capsys.readouterr().out
