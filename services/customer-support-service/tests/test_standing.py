"""A socket ends with its session, its token, or a change of its account, and is told why."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

SESSIONS = {"alices-laptop": "a" * 36, "alices-phone": "b" * 36, "support": "c" * 36}
PEOPLE = {
    "alices-laptop": {"id": 1, "username": "alice", "email": "", "role": "customer"},
    "alices-phone": {"id": 1, "username": "alice", "email": "", "role": "customer"},
    "support": {"id": 3, "username": "support", "email": "", "role": "support"},
}
SERVICE = {"Authorization": "Bearer auth-service"}


@pytest.fixture
def expires_at():
    """When the tokens of this test expire."""
    return datetime.now(UTC) + timedelta(minutes=15)


@pytest.fixture
def connected(seeded, network, expires_at):
    def validate(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token == "auth-service":
            return 200, {"user": {"id": 0, "username": token, "email": "", "role": "service"}}
        said = {"user": PEOPLE[token], "session_id": SESSIONS[token], "expires_at": expires_at.isoformat()}
        return 200, {"valid": True, **said}

    network.on("POST", "/validate", answer=validate)

    def connect(token):
        client = seeded.extensions["socketio"].test_client(seeded, auth={"token": token})
        assert client.emit("join_chat", {"ticket_id": 1}, callback=True)["ok"]
        return client

    return connect


@pytest.fixture
def hear(client):
    """Let the service hear an event, as the auth service tells it."""

    def hear(name, **payload):
        message = {"id": str(uuid.uuid4()), "name": name, "occurred_at": "2026-11-30T12:00:00Z", "payload": payload}
        assert client.post("/internal/events", json=message, headers=SERVICE).status_code == 204

    return hear


def _heard(client):
    return [(each["name"], each["args"][0].get("code", "")) for each in client.queue]


def test_a_socket_ends_with_its_session_and_no_other_does(connected, hear, client):
    laptop, phone, helper = (connected(token) for token in PEOPLE)

    hear("session.ended", session_id=SESSIONS["alices-laptop"], user_id=1)
    client.post("/tickets/1/messages", headers={"Authorization": "Bearer support"}, json={"message": "A secret."})

    assert (_heard(laptop), laptop.is_connected()) == ([("session_ended", "session_ended")], False)
    for each in (phone, helper):
        assert (_heard(each), each.is_connected()) == ([("new_message", "")], True)


def test_all_sockets_of_an_account_end_when_it_changes(connected, hear):
    laptop, phone, helper = (connected(token) for token in PEOPLE)

    hear("account.changed", user_id=1)

    for each in (laptop, phone):
        assert (_heard(each), each.is_connected()) == ([("session_ended", "account_changed")], False)
    assert (_heard(helper), helper.is_connected()) == ([], True)


def test_who_has_been_disconnected_may_come_back_at_once(connected, hear):
    connected("alices-phone")
    hear("account.changed", user_id=1)

    assert connected("alices-phone").is_connected()


def test_nobody_gets_into_the_room_of_a_session_by_its_name(connected, hear):
    helper = connected("support")

    answer = helper.emit("join_chat", {"ticket_id": f"session-{SESSIONS['alices-phone']}"}, callback=True)

    assert answer["status"] == 422


class TestWithASocketOfEngineIO:
    """What counts and sweeps, which the test client of Flask-SocketIO leaves out."""

    PATH = "/socket.io/?EIO=4&transport=polling"

    @pytest.fixture
    def session(self, client, connected):
        path = f"{self.PATH}&sid={client.get(self.PATH).text.split('sid')[1][3:23]}"
        assert client.post(path, data='40{"token":"alices-phone"}').status_code == 200
        assert client.get(path).text.startswith("40")
        return path

    def test_a_socket_ends_when_its_token_expires(self, seeded, client, session, expires_at, monkeypatch):
        attendance = seeded.extensions["attendance"]
        attendance.sweep()
        monkeypatch.setattr(attendance, "_wall_clock", lambda: expires_at.timestamp() + 1)

        attendance.sweep()

        told = client.get(session).text.split("\x1e")
        assert '"token_expired"' in told[0]
        assert told[1] == "41"

    def test_who_has_been_signed_out_has_to_sign_in_again_in_time(self, seeded, client, session, hear, monkeypatch):
        hear("session.ended", session_id=SESSIONS["alices-phone"], user_id=1)
        assert '"session_ended"' in client.get(session).text
        attendance = seeded.extensions["attendance"]
        moment = attendance._clock()
        monkeypatch.setattr(attendance, "_clock", lambda: moment + 60)

        attendance.sweep()

        assert client.get(session).status_code == 400
