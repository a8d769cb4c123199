"""WebSockets by the byte: what RFC 6455 wants, and that nothing is read that is not to be handled."""

import socket
import struct
from contextlib import suppress
from itertools import pairwise
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shopkit.errors import BadRequest
from shopkit.server import handshakes
from shopkit.server.websockets import MESSAGE_SECONDS, Frames, Opcode, Status, Violation, WebSocket

MOST = 1000
MASK = b"\x01\x02\x03\x04"
TEXT, CONTINUATION, BINARY, CLOSE, PING, PONG = 1, 0, 2, 8, 9, 10
LAST = 0x80


def frame(payload=b"", opcode=TEXT, first=LAST, mask=MASK, length=None):
    """A frame as clients send them, or as they must not."""
    length = len(payload) if length is None else length
    if length < 126:
        head = struct.pack(">BB", first | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack(">BBH", first | opcode, 0x80 | 126, length)
    else:
        head = struct.pack(">BBQ", first | opcode, 0x80 | 127, length)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Sender:
    """Gives the bytes of a stream in the pieces they were cut into, and counts what was taken."""

    def __init__(self, *pieces):
        self.left = list(pieces)
        self.taken = 0

    def receive(self, most):
        if not self.left:
            return b""
        piece, rest = self.left[0][:most], self.left[0][most:]
        self.left[:1] = [rest] if rest else []
        self.taken += len(piece)
        return piece


def read(*pieces, most=MOST):
    """All messages and control frames of a stream."""
    frames = Frames(Sender(*pieces).receive, most)
    found = []
    with suppress(EOFError):
        while True:
            if one := frames.next():
                found.append(one)
    return found


def end_of(frames):
    """What ends a stream."""
    with pytest.raises((Violation, EOFError, TimeoutError)) as ended:
        list(iter(frames.next, "never"))
    return ended.value


@st.composite
def streams(draw):
    """Messages in any number of fragments with control frames between them: what is sent, and what is to be read."""
    sent, expected = b"", []
    for text in draw(st.lists(st.text(max_size=60), max_size=4)):
        payload = text.encode()
        cuts = sorted(draw(st.sets(st.integers(0, len(payload)), max_size=4)) | {0, len(payload)})
        pieces = [payload[begin:end] for begin, end in pairwise(cuts)] or [b""]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            sent += frame(
                piece, CONTINUATION if number else TEXT, LAST if is_last else 0, draw(st.binary(min_size=4, max_size=4))
            )
            if not is_last and draw(st.booleans()):
                said = draw(st.binary(max_size=125))
                sent += frame(said, PING)
                expected.append((Opcode.PING, said))
        expected.append((Opcode.TEXT, payload))
    return sent, expected


@settings(deadline=None)
@given(streams(), st.data())
def test_however_a_stream_is_cut_it_is_the_same_messages(stream, data):
    sent, expected = stream
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=20)) | {0, len(sent)})

    assert read(*(sent[begin:end] for begin, end in pairwise(cuts))) == expected


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_bytes_come_they_are_read_or_refused_and_nothing_else(noise):
    assert isinstance(end_of(Frames(Sender(noise).receive, MOST)), Violation | EOFError)


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        *((frame(b"x", first=LAST | bit), Status.PROTOCOL_ERROR) for bit in (0x40, 0x20, 0x10)),
        *((frame(b"x", opcode), Status.PROTOCOL_ERROR) for opcode in (3, 7, 11, 15)),
        (b"\x81\x01x", Status.PROTOCOL_ERROR),
        (frame(b"x", CONTINUATION), Status.PROTOCOL_ERROR),
        (frame(b"x", first=0) + frame(b"y"), Status.PROTOCOL_ERROR),
        (frame(b"x", PING, first=0), Status.PROTOCOL_ERROR),
        (frame(b"x" * 126, PING), Status.PROTOCOL_ERROR),
        (frame(b"x" * 126, CLOSE), Status.PROTOCOL_ERROR),
        (b"\x81\xfe\x00\x05" + MASK, Status.PROTOCOL_ERROR),
        (b"\x81\xff" + (5).to_bytes(8) + MASK, Status.PROTOCOL_ERROR),
        (frame(b"x", BINARY), Status.UNSUPPORTED),
    ],
)
def test_a_frame_that_must_not_be_is_refused(bad, status):
    assert end_of(Frames(Sender(bad).receive, MOST)).status == status


@pytest.mark.parametrize("length", [MOST + 1, 65536, 2**31, 2**63, 2**64 - 1])
def test_what_would_be_too_long_is_refused_by_its_head_alone(length):
    sender = Sender(frame(length=length) + bytes(100_000))

    with pytest.raises(Violation) as refused:
        Frames(sender.receive, MOST).next()

    assert refused.value.status == Status.TOO_BIG
    assert sender.taken <= 10


def test_the_fragments_of_a_message_count_together():
    sender = Sender(frame(b"x" * 600, first=0) + frame(b"x" * 400, CONTINUATION, first=0), frame(b"x", CONTINUATION))
    frames = Frames(sender.receive, MOST)

    assert [frames.next(), frames.next()] == [None, None]
    with pytest.raises(Violation) as refused:
        frames.next()
    assert refused.value.status == Status.TOO_BIG


def test_of_a_frame_no_byte_more_is_read_than_it_has():
    sender = Sender(frame(b"one") + frame(b"two"))
    frames = Frames(sender.receive, MOST)

    assert frames.next() == (Opcode.TEXT, b"one")
    assert sender.taken == len(frame(b"one"))


@pytest.mark.parametrize("pieces", [[frame(b"12345")[:-4]], [frame(b"1", first=0), frame(b"2", CONTINUATION, first=0)]])
def test_a_message_that_drips_ends_the_socket(pieces):
    moment = 0.0

    def later(most):
        nonlocal moment
        moment += MESSAGE_SECONDS / 4
        return sender.receive(min(1, most))

    sender = Sender(*pieces)
    assert isinstance(end_of(Frames(later, MOST, lambda: moment)), TimeoutError)


class Talk:
    """A WebSocket with both its ends, the client's in the hands of the test."""

    def __init__(self, before_frame=lambda: None):
        mine, self.client = socket.socketpair()
        self.client.settimeout(5)
        self.server = mine
        self.web_socket = WebSocket(mine, MOST, 5, before_frame)

    def send(self, *frames):
        self.client.sendall(b"".join(frames))

    def heard(self):
        """The frames that the client is sent, until the server has nothing more to say."""
        self.server.shutdown(socket.SHUT_WR)
        received = b""
        while data := self.client.recv(65536):
            received += data
        return received


@pytest.fixture
def talk():
    made = []

    def make(**options):
        made.append(Talk(**options))
        return made[-1]

    yield make
    for each in made:
        each.client.close()
        each.server.close()


def _close(status, reason=b""):
    payload = struct.pack(">H", status) + reason
    return bytes([0x88, len(payload)]) + payload


def test_messages_are_heard_and_pings_are_answered(talk):
    talk = talk()
    talk.send(frame(b"one"), frame(b"still there?", PING), frame(b"yes", PONG), frame("zwö".encode()))

    assert [talk.web_socket.receive(), talk.web_socket.receive()] == ["one", "zwö"]
    assert talk.heard() == b"\x8a\x0cstill there?"


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_what_is_sent_says_how_long_it_is(talk, length):
    talk = talk()
    Thread(target=talk.web_socket.send, args=("x" * length,)).start()

    head = talk.client.recv(2 + {126: 2, 65535: 2, 65536: 8}.get(length, 0))

    assert head[0] == 0x81
    assert (head[1] if len(head) == 2 else int.from_bytes(head[2:])) == length
    assert len(talk.client.recv(length, socket.MSG_WAITALL)) == length


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (frame(b"\xff"), 1007),
        (frame(b"\xc3", first=0) + frame(b"x", CONTINUATION), 1007),
        (frame(b"x", BINARY), 1003),
        (frame(length=MOST + 1), 1009),
        (b"\x81\x01x", 1002),
        (frame(b"\x03", CLOSE), 1002),
        *((frame(struct.pack(">H", code), CLOSE), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)),
        (frame(struct.pack(">H", 1000) + b"\xff", CLOSE), 1007),
        (frame(b"", CLOSE), 1000),
        *((frame(struct.pack(">H", code) + b"bye", CLOSE), code) for code in (1000, 1001, 3000, 4999)),
    ],
)
def test_the_end_of_a_socket_says_why(talk, bad, status):
    talk = talk()
    talk.send(bad)

    assert talk.web_socket.receive() is None
    assert talk.heard()[2:4] == struct.pack(">H", status)


def test_who_is_cut_off_while_they_wait_goes_on_at_once(talk):
    talk, heard = talk(), []
    waiting = Thread(target=lambda: heard.append(talk.web_socket.receive()))
    waiting.start()

    talk.web_socket.close(Status.POLICY, "enough")

    waiting.join(4)
    assert heard == [None]
    assert talk.heard() == _close(1008, b"enough")


def test_nothing_is_read_before_it_may_be(talk):
    calls = []

    def before_frame():
        calls.append(len(calls))
        if len(calls) == 3:
            raise Violation(Status.POLICY, "slowly")

    talk = talk(before_frame=before_frame)
    talk.send(frame(b"one"), frame(b"", PONG), frame(b"three"))

    assert [talk.web_socket.receive(), talk.web_socket.receive()] == ["one", None]
    assert talk.heard() == _close(1008, b"slowly")


def test_after_the_end_nothing_is_sent(talk):
    talk = talk()
    talk.web_socket.close()

    with pytest.raises(OSError, match="closed"):
        talk.web_socket.send("too late")
    talk.web_socket.close()
    assert talk.heard() == _close(1000)


HANDSHAKE = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"REQUEST_METHOD": "POST"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},
        {"HTTP_CONNECTION": "keep-alive"},
        {"CONTENT_LENGTH": "5"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"HTTP_SEC_WEBSOCKET_KEY": ""},
        {"HTTP_SEC_WEBSOCKET_KEY": "short"},
        {"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ"},
        {"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==dGhl"},
        {"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZ!=="},
        {"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZR=="},
    ],
)
def test_a_malformed_handshake_is_a_bad_request(wrong):
    with pytest.raises(BadRequest):
        handshakes.check({**HANDSHAKE, **wrong})


@pytest.mark.parametrize("version", ["", "8", "14", "13, 8", "x" * 1000])
def test_who_speaks_another_version_is_told_ours(version):
    with pytest.raises(handshakes.UpgradeRequired) as refused:
        handshakes.check({**HANDSHAKE, "HTTP_SEC_WEBSOCKET_VERSION": version})

    assert (refused.value.status, refused.value.headers["Sec-WebSocket-Version"]) == (426, "13")


def test_a_handshake_is_answered_without_any_extension():
    mine, client = socket.socketpair()
    offer = {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; client_max_window_bits"}
    with mine, client:
        handshakes.check({**HANDSHAKE, **offer})
        handshakes.agree({**HANDSHAKE, **offer, "gunicorn.socket": mine})
        answer = client.recv(65536)

    # The key and what it leads to stand in RFC 6455, section 1.3.
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"xtensions" not in answer


def test_a_server_that_lends_no_socket_has_no_websockets():
    with pytest.raises(BadRequest):
        handshakes.agree(HANDSHAKE)
