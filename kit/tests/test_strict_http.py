"""How a server reads from a client that takes its time, and how it sends to one."""

import pytest

pytest.importorskip("gevent")

from gunicorn.config import Config

from shopkit.server.connections import Connections
from shopkit.server.gevent_worker import SLOWEST_ANSWER, Response
from shopkit.server.refusals import TooSlow
from shopkit.server.strict_http import Connection

HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\nX-Test: "


class Dripper:
    """A client that always has one more byte."""

    def __init__(self, begin: bytes, then: bytes = b"a") -> None:
        self._begin, self._then = begin, then
        self.looked = 0

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, _: int) -> bytes:
        self.looked += 1
        data, self._begin = self._begin or self._then, b""
        return data


def _connection(client: Dripper, seconds: float) -> Connection:
    connections = Connections(10, False, lambda peer: None)
    connection = Connection(Config(), client, ("127.0.0.1", 1), connections, connections.admit("127.0.0.1", None))
    connection.head_seconds = connection.body_seconds = seconds
    assert connection.begins(seconds)
    return connection


def test_a_dripping_head_is_gathered_and_not_looked_at_for_each_byte():
    client = Dripper(HEAD)

    with pytest.raises(TooSlow):
        next(_connection(client, 0.3))

    assert client.looked < 12


def test_a_dripping_body_is_gathered_and_ends_when_its_time_is_over():
    client = Dripper(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n")
    request = next(_connection(client, 0.3))

    with pytest.raises(TimeoutError):
        request.body.read()

    assert client.looked < 12


def test_a_body_in_large_pieces_does_not_wait():
    client = Dripper(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 600000\r\n\r\n", bytes(600))
    request = next(_connection(client, 5))

    assert len(request.body.read()) == 600_000


class Reader:
    """A client that takes so many bytes a second; its clock is that of the server."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self.now = 0.0
        self._patience = 0.0

    def settimeout(self, seconds: float) -> None:
        self._patience = seconds

    def send(self, data: bytes) -> int:
        needed = len(data) / self.pace
        self.now += min(needed, self._patience)
        if needed > self._patience:
            raise TimeoutError
        return len(data)


def _send(reader: Reader, monkeypatch, pieces: int, size: int) -> None:
    monkeypatch.setattr("shopkit.server.gevent_worker.time.monotonic", lambda: reader.now)
    response = Response(None, reader, Config(), patience=60)
    for _ in range(pieces):
        response._send(bytes(size))


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_who_reads_slowly_is_ended_in_a_time_that_its_answer_is_worth(monkeypatch, size):
    reader = Reader(pace=SLOWEST_ANSWER / 2)
    pieces = 4_000_000 // size

    with pytest.raises(TimeoutError):
        _send(reader, monkeypatch, pieces, size)

    assert reader.now < 200


def test_who_reads_steadily_has_all_the_time_that_it_needs(monkeypatch):
    reader = Reader(pace=2 * SLOWEST_ANSWER)

    _send(reader, monkeypatch, 40, 100_000)

    assert reader.now == pytest.approx(4_000_000 / reader.pace)
