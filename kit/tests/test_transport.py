"""The connections that the gateway's transport keeps, on a real server."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import requests
from urllib3 import Timeout

from shopkit.server import transport
from shopkit.server.transport import IDLE_SECONDS, SlimAdapter


@pytest.fixture
def server():
    """A real server that knows how many connections it has."""
    clients = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            clients.add(self)

        def finish(self):
            clients.discard(self)
            super().finish()

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.clients = clients
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def ask(server):
    """`ask()`: the answer, its body still to be read."""
    adapter = SlimAdapter()

    def ask():
        request = requests.PreparedRequest()
        request.method, request.url = "GET", f"http://127.0.0.1:{server.server_port}/"
        request.headers, request.body = {}, None
        return adapter.send(request, timeout=Timeout(10)).raw

    yield ask
    adapter.close()


def _comes_true(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_connections_that_a_crowd_has_left_are_closed_after_a_while(ask, server, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: now))
    for answer in [ask() for _ in range(7)]:
        answer.read()
    assert len(server.clients) == 7

    now += IDLE_SECONDS
    for _ in range(3):
        ask().read()

    assert _comes_true(lambda: len(server.clients) == 1)


def test_connections_that_are_in_use_now_and_then_stay(ask, server, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: now))
    for _ in range(4):
        for answer in [ask(), ask()]:
            answer.read()
        now += IDLE_SECONDS - 1

    assert len(server.clients) == 2
