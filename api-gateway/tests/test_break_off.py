"""Answers that are broken off while somebody reads them, and the connections they came over."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from shopkit.server.transport import SlimAdapter, break_off


@pytest.fixture
def ask(stub):
    """`ask(answer)`: the answer of a service that says just this, its body still to be read."""
    adapter = SlimAdapter()

    def ask(answer):
        stub.answer = answer
        request = requests.PreparedRequest()
        request.method, request.url, request.headers, request.body = "GET", f"{stub.url}/", {}, None
        return adapter.send(request, timeout=Timeout(10)).raw

    yield ask
    adapter.close()


def test_whoever_waits_for_more_of_it_stops_at_once(ask):
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    assert answer.read1(10) == b"abc"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answer.read1, 10)
        break_off(answer)
        with pytest.raises(HTTPError, match=r"IncompleteRead|Connection"):
            waiting.result(5)
    answer.close()


def test_an_answer_that_is_complete_keeps_its_connection_for_the_next(ask):
    ports = set()
    for _ in range(3):
        answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        ports.add(answer.connection.sock.getsockname())
        assert answer.read() == b"abc"
        break_off(answer)

    assert len(ports) == 1
