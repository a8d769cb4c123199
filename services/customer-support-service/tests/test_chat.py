import json
import threading
import time
from contextlib import contextmanager
from functools import reduce

import pytest


@pytest.fixture
def socketio(seeded):
    return seeded.extensions["socketio"]


@pytest.fixture
def connected(seeded, socketio):
    """A Socket.IO client: `connected("alice")`"""

    def connect(name):
        return socketio.test_client(seeded, auth={"token": name})

    return connect


@pytest.fixture
def broken_commit(seeded):
    import sqlalchemy as sa

    import models

    @contextmanager
    def broken_commit():
        def fail(_):
            raise sa.exc.OperationalError("COMMIT", {}, Exception("disk full"))

        sa.event.listen(models.db.session, "before_commit", fail)
        try:
            yield
        finally:
            sa.event.remove(models.db.session, "before_commit", fail)

    return broken_commit


def _say(client, event, *payload):
    return client.emit(event, *payload, callback=True)


def _heard(client, event="new_message"):
    return [each["args"][0] for each in client.get_received() if each["name"] == event]


class TestConnecting:
    def test_a_token_in_the_auth_payload_lets_in(self, connected):
        assert connected("alice").is_connected()

    def test_a_token_in_the_header_lets_in(self, seeded, socketio, alice):
        assert socketio.test_client(seeded, headers=alice).is_connected()

    @pytest.mark.parametrize(
        "auth",
        [
            None,
            {},
            {"token": "nobody"},
            {"token": ""},
            {"token": 7},
            {"token": "alice\r\nX-Admin: yes"},
            {"token": "älice"},
            {"token": "x" * 5000},
            {"token": None},
            {"token": ["alice"]},
            {"user_id": 1},
            {"token": "a-service"},
            {"token": "alice", "user_id": 4},
            "alice",
            ["alice"],
        ],
    )
    def test_anything_else_does_not(self, seeded, socketio, auth):
        assert not socketio.test_client(seeded, auth=auth).is_connected()

    def test_a_token_in_the_url_does_not(self, seeded, socketio):
        assert not socketio.test_client(seeded, query_string="token=alice").is_connected()

    def test_a_bad_token_in_the_payload_is_not_made_up_for_by_the_header(self, seeded, socketio, alice):
        assert not socketio.test_client(seeded, headers=alice, auth={"token": "nobody"}).is_connected()

    def test_nobody_is_let_in_while_the_auth_service_is_away(self, connected, network):
        network.down("POST", "/validate")

        assert not connected("alice").is_connected()


class TestTalking:
    def test_a_message_reaches_everyone_in_the_room_and_its_sender(self, connected, client, support):
        alice, helper = connected("alice"), connected("support")
        for each in (alice, helper):
            assert _say(each, "join_chat", {"ticket_id": 1}) == {"ok": True, "ticket_id": 1}

        answer = _say(helper, "chat_message", {"ticket_id": 1, "message": " Yes, you can. "})

        assert answer["ok"] is True
        message = answer["message"]
        assert (message["message"], message["username"], message["is_staff"]) == ("Yes, you can.", "support", True)
        assert _heard(alice) == _heard(helper) == [message]
        assert client.get("/tickets/1", headers=support).json["messages"][-1] == message

    def test_a_message_by_http_reaches_the_room_too(self, connected, client, support):
        alice = connected("alice")
        _say(alice, "join_chat", {"ticket_id": 1})

        message = client.post("/tickets/1/messages", headers=support, json={"message": "Yes."}).json

        assert _heard(alice) == [message]

    def test_a_message_that_is_sent_again_is_heard_once(self, connected, client, support):
        alice = connected("alice")
        _say(alice, "join_chat", {"ticket_id": 1})

        for _ in range(2):
            headers = {**support, "Idempotency-Key": "a-key"}
            assert client.post("/tickets/1/messages", headers=headers, json={"message": "Yes."}).status_code == 201

        assert len(_heard(alice)) == 1

    def test_a_message_that_could_not_be_saved_is_not_heard(self, connected, client, support, broken_commit):
        alice, helper = connected("alice"), connected("support")
        _say(alice, "join_chat", {"ticket_id": 1})

        with broken_commit():
            by_http = client.post("/tickets/1/messages", headers=support, json={"message": "Yes."})
            by_socket = _say(helper, "chat_message", {"ticket_id": 1, "message": "Yes."})

        assert (by_http.status_code, by_socket["status"]) == (503, 503)
        assert _heard(alice) == []

    def test_one_hears_only_the_tickets_one_has_joined(self, connected, client, support):
        alice, helper = connected("alice"), connected("support")
        _say(helper, "join_chat", {"ticket_id": 2})

        client.post("/tickets/1/messages", headers=support, json={"message": "Yes."})

        assert _heard(alice) == _heard(helper) == []

    def test_who_has_left_hears_no_more(self, connected, client, support):
        alice = connected("alice")
        _say(alice, "join_chat", {"ticket_id": 1})

        assert _say(alice, "leave_chat", {"ticket_id": 1}) == {"ok": True, "ticket_id": 1}

        client.post("/tickets/1/messages", headers=support, json={"message": "Yes."})
        assert _heard(alice) == []

    def test_a_message_opens_a_closed_ticket_again(self, connected, client, bob):
        _say(connected("bob"), "chat_message", {"ticket_id": 2, "message": "It has not arrived."})

        shown = client.get("/tickets/2", headers=bob).json
        assert (shown["status"], shown["closed_at"]) == ("open", None)

    def test_a_contact_form_opens_a_ticket(self, connected, client, alice):
        sender = connected("alice")

        answer = _say(sender, "contact_form", {"subject": "A lamp", "message": "Is it dimmable?"})

        assert answer["ok"] is True
        assert _heard(sender, "contact_form_status") == [
            {"success": True, "status": "received", "ticket_id": answer["ticket_id"]}
        ]
        ticket = client.get(f"/tickets/{answer['ticket_id']}", headers=alice).json
        assert (ticket["subject"], ticket["messages"][0]["message"]) == ("A lamp", "Is it dimmable?")

    @pytest.mark.parametrize("event", ["join_chat", "chat_message"])
    @pytest.mark.parametrize("ticket_id", [2, 12345])
    def test_a_ticket_that_is_absent_or_somebody_elses_is_a_404(self, connected, client, support, event, ticket_id):
        alice = connected("alice")
        body = {"ticket_id": ticket_id, **({"message": "Hello?"} if event == "chat_message" else {})}

        answer = _say(alice, event, body)

        assert (answer["ok"], answer["status"], answer["code"]) == (False, 404, "not_found")
        assert answer["error"] == f"There is no ticket {ticket_id}."
        client.post("/tickets/2/messages", headers=support, json={"message": "A secret."})
        assert _heard(alice) == []
        assert client.get("/tickets/2", headers=support).json["messages"][-1]["message"] == "A secret."

    def test_a_reply_that_comes_while_the_ticket_is_being_closed_opens_it_again(self, seeded, connected, client, alice):
        import sqlalchemy as sa

        import models

        closing = threading.Event()

        def close():
            with seeded.app_context(), models.db.engine.begin() as connection:
                connection.execute(sa.update(models.Ticket).values(status="closed", closed_at=models.now()))
                closing.set()
                time.sleep(0.3)

        sender, closer = connected("alice"), threading.Thread(target=close)
        closer.start()
        closing.wait()

        answer = _say(sender, "chat_message", {"ticket_id": 1, "message": "Wait!"})

        closer.join()
        assert answer["ok"] is True
        assert client.get("/tickets/1", headers=alice).json["status"] == "open"


class TestWhoSpeaks:
    def test_a_logout_holds_from_the_next_event_on(self, connected, network, client):
        alice = connected("alice")
        _say(alice, "join_chat", {"ticket_id": 1})
        network.refuse("POST", "/validate", 401, "The token has been revoked.", "not_signed_in")

        answer = _say(alice, "chat_message", {"ticket_id": 1, "message": "Still here"})

        assert (answer["ok"], answer["status"]) == (False, 401)
        assert not alice.is_connected()
        said = [each["args"][0] for each in alice.queue if each["name"] == "error"]
        assert said == [{"code": "not_signed_in", "error": "The token has been revoked."}]

    def test_an_event_fails_but_the_connection_stays_while_the_auth_service_is_away(self, connected, network):
        alice = connected("alice")
        network.down("POST", "/validate")

        answer = _say(alice, "join_chat", {"ticket_id": 1})

        assert (answer["ok"], answer["status"], answer["code"]) == (False, 502, "upstream_failed")
        assert alice.is_connected()

    def test_who_is_no_longer_a_person_here_may_do_nothing(self, connected, network):
        alice = connected("alice")
        robot = {"id": 0, "username": "robot", "email": "", "role": "service"}
        network.on("POST", "/validate", {"valid": True, "user": robot})

        assert _say(alice, "join_chat", {"ticket_id": 1})["status"] == 403

    @pytest.mark.parametrize("event", ["join_chat", "leave_chat", "chat_message", "contact_form"])
    def test_what_somebody_says_of_themselves_is_ignored(self, connected, client, support, event):
        body = {"ticket_id": 1} if event != "contact_form" else {"subject": "Hi"}
        if event in ("chat_message", "contact_form"):
            body["message"] = "I am the boss."

        answer = _say(connected("alice"), event, {**body, "user_id": 3, "is_staff": True})

        assert answer["ok"] is True
        tickets = [client.get(f"/tickets/{each}", headers=support).json for each in (1, answer.get("ticket_id", 1))]
        said = [each for ticket in tickets for each in ticket["messages"] if each["message"] == "I am the boss."]
        assert {(each["user_id"], each["is_staff"]) for each in said} <= {(1, False)}
        assert bool(said) == ("message" in body)

    def test_nobody_gets_into_somebody_elses_ticket_by_saying_so(self, connected):
        answer = _say(connected("alice"), "join_chat", {"ticket_id": 2, "user_id": 2, "is_staff": True})

        assert (answer["ok"], answer["status"]) == (False, 404)


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [{"subject": "A lamp"}, {"subject": "", "message": "Hi"}, {"subject": "Hi", "message": 7}, None, "Hi", []],
    )
    def test_a_form_that_does_not_validate_is_told_so(self, connected, form):
        sender = connected("alice")

        answer = _say(sender, "contact_form", form)

        told = {"success": False, **{name: answer[name] for name in ("code", "error", "errors")}}
        assert (answer["ok"], answer["status"]) == (False, 422)
        assert _heard(sender, "contact_form_status") == [told]

    def test_a_form_that_fails_for_another_reason_is_told_so_too(self, connected, network):
        sender = connected("alice")
        network.down("POST", "/validate")

        _say(sender, "contact_form", {"subject": "A lamp", "message": "Hi"})

        told = _heard(sender, "contact_form_status")
        assert [(each["success"], each["code"]) for each in told] == [(False, "upstream_failed")]

    def test_who_has_signed_out_is_told_before_the_connection_ends(self, connected, network):
        sender = connected("alice")
        network.refuse("POST", "/validate", 401, "The token has been revoked.", "not_signed_in")

        _say(sender, "contact_form", {"subject": "A lamp", "message": "Hi"})

        assert [each["name"] for each in sender.queue] == ["contact_form_status", "error"]
        assert sender.queue[0]["args"][0]["success"] is False

    def test_other_events_say_nothing_of_forms(self, connected):
        sender = connected("alice")

        _say(sender, "chat_message", {})

        assert _heard(sender, "contact_form_status") == []


def test_an_event_that_does_not_exist_is_no_silence(connected):
    answer = _say(connected("alice"), "chat_massage", {"ticket_id": 1, "message": "Hi"})

    assert (answer["ok"], answer["status"], answer["code"]) == (False, 404, "unknown_event")


def test_of_a_long_name_of_an_event_only_the_beginning_is_logged(connected, caplog):
    caplog.set_level("INFO", logger="shop.chat")

    _say(connected("alice"), "x" * 100_000, {})

    assert len(caplog.records[-1].getMessage()) < 200


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (dict.fromkeys((f"field {number}" for number in range(1000)), 1), 20),
        (dict.fromkeys((f"field {number}" for number in range(10_000)), 1), 1),
        ({"ticket_id": reduce(lambda inner, _: {"a": inner}, range(100), 1)}, 1),
    ],
)
@pytest.mark.parametrize("event", ["join_chat", "leave_chat", "chat_message", "contact_form"])
def test_an_answer_is_no_larger_than_what_was_said(connected, caplog, event, payload, named):
    answer = _say(connected("alice"), event, payload)

    assert (answer["status"], len(answer["errors"])) == (422, named)
    assert len(json.dumps(answer)) < 10_000
    assert not [record for record in caplog.records if record.exc_info]


MALFORMED = [(), (None,), ("1",), ([1],), (1,), ({"ticket_id": 1}, 2)]


@pytest.mark.parametrize("event", ["join_chat", "leave_chat", "chat_message", "contact_form"])
@pytest.mark.parametrize("payload", MALFORMED)
def test_a_payload_that_is_no_object_is_a_422_and_no_traceback(connected, caplog, event, payload):
    answer = _say(connected("alice"), event, *payload)

    assert (answer["ok"], answer["status"], answer["errors"][0]["field"]) == (False, 422, "body")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("event", "payload", "field"),
    [
        ("join_chat", {}, "ticket_id"),
        ("join_chat", {"ticket_id": "one"}, "ticket_id"),
        ("join_chat", {"ticket_id": 0}, "ticket_id"),
        ("join_chat", {"ticket_id": 2**31}, "ticket_id"),
        ("join_chat", {"ticket_id": {"$gt": 0}}, "ticket_id"),
        ("chat_message", {"ticket_id": 1}, "message"),
        ("chat_message", {"ticket_id": 1, "message": ""}, "message"),
        ("chat_message", {"ticket_id": 1, "message": "x" * 5001}, "message"),
        ("chat_message", {"ticket_id": 1, "message": "a\0b"}, "message"),
        ("chat_message", {"ticket_id": 1, "message": "\ud800"}, "message"),
        ("contact_form", {"subject": "A lamp"}, "message"),
        ("contact_form", {"subject": "x" * 201, "message": "Hi"}, "subject"),
        ("contact_form", {"subject": "Hi", "message": "Hi", "email": "a@example.com"}, "email"),
    ],
)
def test_a_field_that_does_not_validate_is_named(connected, event, payload, field):
    answer = _say(connected("alice"), event, payload)

    assert (answer["ok"], answer["status"], answer["code"]) == (False, 422, "invalid")
    assert [error["field"] for error in answer["errors"]] == [field]


def test_what_nobody_thought_of_is_a_500_and_in_the_log(connected, network, caplog):
    alice = connected("alice")
    network.down("POST", "/validate", ZeroDivisionError)

    answer = _say(alice, "join_chat", {"ticket_id": 1})

    assert (answer["ok"], answer["status"]) == (False, 500)
    assert answer["error"] == "Something went wrong on our side."
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


class TestConnections:
    """Below Socket.IO: Engine.IO over HTTP."""

    @pytest.fixture
    def session_path(self, client):
        """The path of a new Engine.IO session."""
        path = "/socket.io/?EIO=4&transport=polling"
        opened = client.get(path).text
        return f"{path}&sid={json.loads(opened[1:])['sid']}"

    def test_who_sends_too_much_is_cut_off_at_once(self, client, session_path):
        response = client.post(session_path, data="4" * (64 * 1024 + 1))

        assert response.status_code == 400
        assert client.get(session_path).status_code == 400


def test_a_mode_that_does_not_exist_stops_the_start():
    from settings import Settings
    from shopkit.settings import SettingsError

    with pytest.raises(SettingsError, match="SOCKETIO_ASYNC_MODE does not make sense: it is gevent"):
        Settings.from_env({"SECRET_KEY": "x", "SOCKETIO_ASYNC_MODE": "tornado"})
