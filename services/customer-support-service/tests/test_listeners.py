"""Who hears what is said in a ticket: asked anew for every message."""

import threading
import time

import pytest
import requests

FAILURES = [requests.ConnectionError("away"), requests.ReadTimeout("slow"), ZeroDivisionError()]


@pytest.fixture
def auth(network):
    """The auth service of these tests: answers by token can be changed, and tokens that were asked about are kept."""

    class Auth:
        people = {
            "alice": {"id": 1, "username": "alice", "email": "", "role": "customer"},
            "alices-phone": {"id": 1, "username": "alice", "email": "", "role": "customer"},
            "support": {"id": 3, "username": "support", "email": "", "role": "support"},
            "admin": {"id": 4, "username": "admin", "email": "", "role": "admin"},
        }
        asked = []

        def __call__(self, request):
            token = request.headers["Authorization"].removeprefix("Bearer ")
            self.asked.append(token)
            user = self.people.get(token)
            if isinstance(user, Exception):
                raise user
            if user is None:
                return 401, {"detail": "The token has been revoked.", "code": "not_signed_in"}
            return 200, {"valid": True, "user": user}

    auth = Auth()
    auth.people, auth.asked = dict(auth.people), []
    network.on("POST", "/validate", answer=auth)
    return auth


@pytest.fixture
def listening(seeded, auth):
    """A client that hears ticket 1: `listening("alice")`."""

    def listen(token):
        client = seeded.extensions["socketio"].test_client(seeded, auth={"token": token})
        assert client.emit("join_chat", {"ticket_id": 1}, callback=True)["ok"]
        auth.asked.clear()
        return client

    return listen


@pytest.fixture
def reply(seeded, client):
    def reply(text="Hello!", by="support"):
        sent = client.post("/tickets/1/messages", headers={"Authorization": f"Bearer {by}"}, json={"message": text})
        assert sent.status_code == 201
        return sent.json

    return reply


def _heard(client):
    return [each["args"][0] for each in client.queue if each["name"] == "new_message"]


def _told(client):
    return [each["args"][0]["code"] for each in client.queue if each["name"] == "error"]


def test_who_has_signed_out_hears_no_more_and_the_others_do(listening, auth, reply):
    alice, helper = listening("alice"), listening("support")
    first = reply()
    del auth.people["alice"]

    second = reply("A secret.")

    assert (_heard(alice), _told(alice), alice.is_connected()) == ([first], ["not_signed_in"], False)
    assert (_heard(helper), _told(helper), helper.is_connected()) == ([first, second], [], True)


def test_one_device_that_has_signed_out_does_not_end_the_other(listening, auth, reply):
    laptop, phone = listening("alice"), listening("alices-phone")
    del auth.people["alice"]

    message = reply()

    assert (_heard(laptop), laptop.is_connected()) == ([], False)
    assert (_heard(phone), phone.is_connected()) == ([message], True)


@pytest.mark.parametrize("role", ["customer", "service"])
def test_staff_who_are_no_longer_staff_hear_no_more_of_others_tickets(listening, auth, reply, role):
    helper = listening("support")
    auth.people["support"] = {**auth.people["support"], "role": role}

    reply(by="admin")

    assert (_heard(helper), helper.is_connected()) == ([], False)
    assert _told(helper) == ["not_found"]


@pytest.mark.parametrize("failure", FAILURES)
def test_while_nobody_can_be_asked_nobody_hears_anything_and_all_are_told(listening, auth, reply, failure):
    alice, phone = listening("alice"), listening("alices-phone")
    auth.people |= {"alice": failure, "alices-phone": failure}

    reply()

    for each in (alice, phone):
        assert (_heard(each), each.is_connected(), len(_told(each))) == ([], False, 1)
    assert len([token for token in auth.asked if token != "support"]) == 1


def test_each_token_is_asked_about_once_a_message(listening, auth, reply):
    for token in ("alice", "alice", "alices-phone", "support"):
        listening(token)

    reply(by="admin")

    assert sorted(auth.asked) == ["admin", "alice", "alices-phone", "support"]


def test_nobody_is_asked_about_where_nobody_listens(auth, reply):
    reply()

    assert auth.asked == ["support"]


def test_who_is_going_just_now_does_not_keep_the_others_from_hearing(listening, seeded, reply):
    alice, helper = listening("alice"), listening("support")
    environs = seeded.extensions["socketio"].server.environ
    del environs[next(iter(environs))]

    message = reply()

    assert (_heard(alice), _heard(helper)) == ([], [message])


def test_a_slow_answer_about_a_listener_does_not_keep_the_sender_waiting(listening, auth, reply, network):
    go_on = threading.Event()

    def slow(request):
        if "phone" in request.headers["Authorization"]:
            assert go_on.wait(10)
        return auth(request)

    phone = listening("alices-phone")
    network.on("POST", "/validate", answer=slow)

    begin = time.monotonic()
    sent = [reply(f"{n}") for n in range(2)]
    took = time.monotonic() - begin
    early = _heard(phone)
    go_on.set()

    _wait_until(lambda: len(_heard(phone)) == 2)
    assert took < 5
    assert early == []
    assert _heard(phone) == sent


def test_what_is_said_at_once_is_heard_by_all_in_one_order(listening, seeded, reply):
    listeners = [listening(token) for token in ("alice", "support")]
    threads = [threading.Thread(target=reply, args=(f"{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    _wait_until(lambda: len(_heard(listeners[0])) == len(_heard(listeners[1])) == 6)
    assert _heard(listeners[0]) == _heard(listeners[1])


def _wait_until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
