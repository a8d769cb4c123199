"""Below Socket.IO: packets that clients send by HTTP are all heard, or the session ends with an error."""

import io
import json

import pytest

PATH = "/socket.io/?EIO=4&transport=polling"
END = "\x1e"


class Session:
    """A Socket.IO client that polls, as small as can be."""

    def __init__(self, client, auth='{"token":"alice"}'):
        self.client = client
        self.path = f"{PATH}&sid={json.loads(client.get(PATH).text[1:])['sid']}"
        assert self.send(f"40{auth}").status_code == 200
        self.first = self.hear()

    def send(self, *packets, **request):
        return self.client.post(self.path, data=END.join(packets), **request)

    def hear(self):
        return self.client.get(self.path).text.split(END)

    def hear_all(self, number, start):
        """So many packets that begin like this, in as many answers as they come in."""
        heard = []
        while len(heard) < number:
            answer = self.hear()
            assert len(answer) <= 16, "python-engineio's client takes no more"
            heard += [each for each in answer if each.startswith(start)]
        return heard

    def is_over(self):
        return self.client.get(self.path).status_code == 400


@pytest.fixture
def session(seeded):
    return Session(seeded.test_client())


def _say(number, **message):
    return f"42{number}{json.dumps(['chat_message', message])}"


@pytest.mark.parametrize("number", [16, 17, 100])
def test_however_many_packets_come_at_once_all_are_heard_in_their_order(session, client, alice, number):
    said = [f"message {n}" for n in range(number)]

    assert session.send(*(_say(n, ticket_id=1, message=text) for n, text in enumerate(said))).status_code == 200

    answers = [json.loads(each[each.index("[") :])[0] for each in session.hear_all(number, "43")]
    assert [each["message"]["message"] for each in answers] == said
    assert [each["message"] for each in client.get("/tickets/1", headers=alice).json["messages"]][-number:] == said


def test_of_more_packets_at_once_than_anybody_needs_none_is_heard(seeded, session):
    leave = '421["leave_chat",{"ticket_id":1}]'

    assert session.send(*["3"] * 199, leave).status_code == 200
    assert session.hear_all(1, "43") == ['431[{"ok":true,"ticket_id":1}]']
    another = Session(seeded.test_client(), '{"token":"bob"}')
    assert another.send(*["3"] * 200, leave).status_code == 400
    assert another.is_over()


@pytest.mark.parametrize(
    "packets",
    [
        *(["x"], [""], ["9"], ["ä"], ["b!"], ["0{}"], ["2probe"]),
        *(["4"], ["4x"], ["49"], ["42"], ["42[]"], ["42{"], ["42[1"], ['42{"a":1}'], ["44{}"], ["451-[]", "452"]),
        ["42" + "1" * 200 + '["leave_chat"]'],
    ],
)
def test_what_cannot_be_read_ends_the_session_with_an_error(session, caplog, packets):
    assert session.send(*packets, "3").status_code == 400

    assert session.is_over()
    assert not [record for record in caplog.records if record.exc_info]


def test_bytes_that_are_no_text_end_the_session_with_an_error(session):
    assert session.client.post(session.path, data=b"42\xff").status_code == 400
    assert session.is_over()


def test_packets_that_come_in_chunks_are_heard(session):
    data = b'421["leave_chat",{"ticket_id":1}]'
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}

    answer = session.client.post(session.path, input_stream=io.BytesIO(data), environ_overrides=chunked)

    assert answer.status_code == 200
    assert session.hear_all(1, "43") == ['431[{"ok":true,"ticket_id":1}]']


def test_too_much_in_chunks_is_refused_as_any_other(session):
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}

    answer = session.client.post(session.path, input_stream=io.BytesIO(b"4" * 70_000), environ_overrides=chunked)

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "auth",
    ['{"token":null}', '{"token":""}', '{"token":7}', '{"token":"nobody"}', '{"user_id":1}', "", "{}", '["alice"]'],
)
def test_who_has_no_token_is_told_that_they_are_not_signed_in(seeded, auth):
    refused = Session(seeded.test_client(), auth).first[0]

    assert refused.startswith("44")
    assert json.loads(refused[2:])["data"]["code"] == "not_signed_in"
