"""The service as real processes, on each server it can run on, with real Socket.IO clients."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
import redis
import requests
import socketio
import websocket
from socketio.exceptions import ConnectionError as Refused

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parents[1]
ROLES = {"alice": (1, "customer"), "support": (3, "support")}
GUNICORN = ["-m", "gunicorn", "-c", "python:shopkit.server.gunicorn_gevent", "app:create_app()"]
TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]]


class AuthService(BaseHTTPRequestHandler):
    """Knows two people, whose tokens are their names, until they sign out."""

    signed_out: ClassVar[set[str]] = set()

    def do_GET(self):
        self._answer(200, {})

    def do_POST(self):
        name = self.headers["Authorization"].removeprefix("Bearer ")
        if name not in ROLES or name in self.signed_out:
            self._answer(401, {"detail": "The token is not valid.", "code": "not_signed_in"})
            return
        user_id, role = ROLES[name]
        self._answer(200, {"user": {"id": user_id, "username": name, "email": "", "role": role}})

    def _answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def environment(environment, database_uri):
    """What a process of the service needs to know, and an auth service for it to ask."""
    AuthService.signed_out.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), AuthService)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield {
        **os.environ,
        **environment,
        "PORT": str(_free_port()),
        "DATABASE_URI": database_uri,
        "SEED_DEMO_DATA": "true",
        "AUTH_SERVICE_URL": f"http://127.0.0.1:{server.server_port}",
        "PYTHONWARNINGS": "error",
    }
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def redis_url():
    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
    with redis.Redis.from_url(url, socket_timeout=1) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            pytest.skip(f"no Redis at {url}: {error}")
    return url


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    yield path
    assert "Traceback" not in path.read_text()
    assert "Warning" not in path.read_text()


@contextmanager
def _running(command, environment, log):
    """The service, from when it answers until it has been stopped; yields its URL and the process."""
    url = f"http://127.0.0.1:{environment['PORT']}"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *command], cwd=FOLDER, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until(lambda: _answers(url))
        yield url, process
    finally:
        process.terminate()
        process.wait(10)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def _answers(url):
    try:
        return requests.get(f"{url}/health", timeout=1).ok
    except requests.ConnectionError:
        return False


def _wait_until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def _prepare(environment):
    subprocess.run([sys.executable, "-m", "shopkit.prepare"], cwd=FOLDER, env=environment, check=True)


def _reply(url, text):
    support = {"Authorization": "Bearer support"}
    return requests.post(f"{url}/tickets/1/messages", json={"message": text}, headers=support, timeout=5).json()


def _chat(url, transports):
    """Alice asks by Socket.IO, support answers by HTTP, alice hears both."""
    with socketio.SimpleClient(reconnection=False) as alice:
        alice.connect(url, auth={"token": "alice"}, transports=transports, headers={"X-Upstream": "5ca1ab1e"})
        assert alice.transport == transports[-1]
        assert alice.client.eio.sid.startswith("5ca1ab1e.")
        assert alice.call("join_chat", {"ticket_id": 1}, timeout=5)["ok"]
        asked = alice.call("chat_message", {"ticket_id": 1, "message": "Hello?"}, timeout=5)["message"]
        answered = _reply(url, "Hello!")

        assert alice.receive(timeout=5) == ["new_message", asked]
        assert alice.receive(timeout=5) == ["new_message", answered]


@pytest.mark.parametrize("mode", ["", "threading", "eventlet"])
def test_python_app_py_serves_the_chat(environment, log, mode):
    _prepare(environment)

    with _running(["app.py"], {**environment, "SOCKETIO_ASYNC_MODE": mode}, log) as (url, _):
        for transports in TRANSPORTS:
            _chat(url, transports)


def test_gunicorn_serves_the_chat_over_every_transport(environment, log):
    with _running(GUNICORN, environment, log) as (url, _):
        for transports in TRANSPORTS:
            _chat(url, transports)
        with socketio.SimpleClient(reconnection=False) as nobody, pytest.raises(Refused):
            nobody.connect(url, auth={"token": "nobody"})


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_who_is_connected_is_told_at_once_when_gunicorn_stops(environment, log, transports):
    with (
        _running(GUNICORN, environment, log) as (url, process),
        socketio.SimpleClient(reconnection=False) as alice,
    ):
        alice.connect(url, auth={"token": "alice"}, transports=transports)

        process.send_signal(signal.SIGTERM)

        _wait_until(lambda: not alice.connected, seconds=2)
        assert process.wait(3) == 0


def test_what_is_no_packet_ends_the_connection_and_nothing_else(environment, log):
    with _running(GUNICORN, environment, log) as (url, _):
        for nonsense in ("x", ""):
            connection = websocket.create_connection(
                f"{url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket", timeout=5
            )
            connection.recv()
            connection.send(nonsense)
            opcode, why = connection.recv_data(control_frame=True)
            connection.shutdown()
            assert (opcode, int.from_bytes(why[:2])) == (websocket.ABNF.OPCODE_CLOSE, 1007)
        _chat(url, ["websocket"])


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_burst_of_messages_is_heard_whole(environment, log, transport):
    """Over polling a client sends in one POST whatever has gathered, and this one takes 16 packets an answer."""
    said, answers, heard = [f"message {n}" for n in range(200)], [], []
    with _running(GUNICORN, environment, log) as (url, _):
        alice = socketio.Client(reconnection=False)
        alice.on("new_message", lambda message: heard.append(message["message"]))
        alice.connect(url, auth={"token": "alice"}, transports=[transport])
        alice.call("join_chat", {"ticket_id": 1}, timeout=5)

        for text in said:
            alice.emit("chat_message", {"ticket_id": 1, "message": text}, callback=answers.append)

        _wait_until(lambda: len(answers) == len(heard) == len(said))
        alice.disconnect()
    assert [answer["message"]["message"] for answer in answers] == heard == said


def test_who_has_signed_out_hears_no_more_of_what_is_said_at_another_instance(environment, log, tmp_path, redis_url):
    environment["REDIS_URL"] = redis_url
    elsewhere = {**environment, "PORT": str(_free_port())}
    other_log = tmp_path / "other log"
    with (
        _running(GUNICORN, environment, log) as (url, _),
        _running(GUNICORN, elsewhere, other_log) as (other_url, _),
        socketio.SimpleClient(reconnection=False) as alice,
        socketio.SimpleClient(reconnection=False) as helper,
    ):
        for client, token in ((alice, "alice"), (helper, "support")):
            client.connect(url, auth={"token": token})
            client.call("join_chat", {"ticket_id": 1}, timeout=5)
        first = _reply(other_url, "Hello!")
        assert alice.receive(timeout=5) == helper.receive(timeout=5) == ["new_message", first]

        AuthService.signed_out.add("alice")
        second = _reply(other_url, "A secret.")

        assert helper.receive(timeout=5) == ["new_message", second]
        assert alice.receive(timeout=5) == ["error", {"code": "not_signed_in", "error": "The token is not valid."}]
        _wait_until(lambda: not alice.connected)


@pytest.mark.parametrize(("mode", "loaded"), [("", []), ("gevent", ["gevent"]), ("eventlet", ["eventlet"])])
def test_only_the_library_of_the_mode_is_loaded(environment, mode, loaded):
    look = "import app, sys; app.create_app(); print([name for name in ('gevent', 'eventlet') if name in sys.modules])"

    found = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", look],
        cwd=FOLDER,
        env={**environment, "SOCKETIO_ASYNC_MODE": mode},
        check=True,
        capture_output=True,
        text=True,
    )

    assert found.stdout.strip() == str(loaded)
