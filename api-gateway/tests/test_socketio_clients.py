"""The chat as customers use it: real Socket.IO clients, through the gateway, to the real support service."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import SystemRandom
from tempfile import mkdtemp
from threading import Thread

import pytest
import redis
import socketio

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("chat over redis")]  # one channel for all

SUPPORT_SERVICE = Path(__file__).parents[2] / "services" / "customer-support-service"
JS_CLIENT = Path(__file__).parent / "js-client"
REDIS_URL = "redis://127.0.0.1:6379/13"
PEOPLE = {"alice": (1, "customer"), "support": (3, "support")}
TRANSPORTS = pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])


class AuthService(BaseHTTPRequestHandler):
    """Knows two people, whose tokens are their names."""

    def do_POST(self):
        name = self.headers["Authorization"].removeprefix("Bearer ")
        user_id, role = PEOPLE[name]
        said = json.dumps({"user": {"id": user_id, "username": name, "email": "", "role": role}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def support_service(tmp_path_factory):
    """Start an instance of the support service: `with support_service() as url: …`; all are on one database."""
    folder = tmp_path_factory.mktemp("support")
    with ThreadingHTTPServer(("127.0.0.1", 0), AuthService) as auth:
        thread = Thread(target=auth.serve_forever, args=(0.02,))
        thread.start()
        settings = {
            "SECRET_KEY": "x",
            "DATABASE_URI": f"sqlite:///{folder}/support.db",
            "SEED_DEMO_DATA": "true",
            "AUTH_SERVICE_URL": f"http://127.0.0.1:{auth.server_port}",
        }
        yield lambda **more: _running({**settings, **more}, folder / "log")
        auth.shutdown()
        thread.join()


@contextmanager
def _running(settings, log):
    port = _free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:shopkit.gunicorn_gevent", "app:app"],
            cwd=SUPPORT_SERVICE,
            env={**os.environ, **settings, "PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port():
    """A port below those that the system hands out by itself."""
    while True:
        port = SystemRandom().randrange(20_000, 30_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            pass


def _wait_for(port):
    end = time.monotonic() + 30
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            return
        except OSError:
            assert time.monotonic() < end, "the support service did not start"
            time.sleep(0.05)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def shop(start, support_service):
    """The URL of a gateway with one instance behind it."""
    with support_service() as url, start(SUPPORT_SERVICE_URL=url) as gateway:
        yield "http://{}:{}".format(*gateway.address)


@pytest.fixture(scope="module")
def two_instances(start, support_service):
    """The URL of a gateway with two of them, which hear of each other through Redis."""
    try:
        redis.Redis.from_url(REDIS_URL).ping()
    except redis.ConnectionError:
        pytest.skip("there is no Redis on 127.0.0.1:6379")
    with (
        support_service(REDIS_URL=REDIS_URL) as one,
        support_service(REDIS_URL=REDIS_URL) as other,
        start(SUPPORT_SERVICE_URL=f"{one},{other}") as gateway,
    ):
        yield "http://{}:{}".format(*gateway.address)


@pytest.fixture(scope="session")
def js_client():
    """The script beside this file with what it imports, installed once for each version of it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("there is no Node.js with npm")
    content = b"".join(each.read_bytes() for each in sorted(JS_CLIENT.glob("*.js*")))
    installed = Path(sys.prefix) / f"js-client-{sha256(content).hexdigest()[:16]}"
    if not installed.exists():
        making = Path(mkdtemp(dir=sys.prefix))
        shutil.copytree(JS_CLIENT, making, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
        subprocess.run([npm, "ci", "--ignore-scripts"], cwd=making, check=True, timeout=100)  # noqa: S603
        try:
            making.rename(installed)
        except OSError:  # another process of this run was faster
            shutil.rmtree(making)
    return [node, str(installed / "chat.js")]


def _connect(url, name, transports):
    client = socketio.SimpleClient(reconnection=False)
    client.connect(url, auth={"token": name}, transports=transports)
    return client


@TRANSPORTS
def test_the_client_for_python_chats(shop, transports):
    with _connect(shop, "alice", transports) as alice, _connect(shop, "support", transports) as support:
        joined = [each.call("join_chat", {"ticket_id": 1}, timeout=5) for each in (alice, support)]
        said = alice.call("chat_message", {"ticket_id": 1, "message": "Hello?"}, timeout=5)

        assert alice.transport == support.transport == transports[-1]
        assert joined == [{"ok": True, "ticket_id": 1}] * 2
        assert alice.receive(timeout=5) == support.receive(timeout=5) == ["new_message", said["message"]]


@TRANSPORTS
def test_the_client_of_browsers_chats(shop, js_client, transports):
    ran = subprocess.run(  # noqa: S603 - our own script
        [*js_client, shop, "alice", "1", ",".join(transports)], capture_output=True, text=True, timeout=30, check=False
    )
    heard = {each["event"]: each for each in map(json.loads, ran.stdout.splitlines())}

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert heard["join_chat"] == {"event": "join_chat", "ok": True, "ticket_id": 1}
    assert heard["chat_message"]["ok"] is True
    assert heard["new_message"]["message"] == heard["chat_message"]["message"]
    assert heard["new_message"]["transport"] == transports[-1]
    assert heard["disconnect"]["reason"] == "io client disconnect"


def test_a_client_whose_gateway_stops_is_told_so(start, support_service):
    with support_service() as url, start(SUPPORT_SERVICE_URL=url) as gateway:
        with _connect("http://{}:{}".format(*gateway.address), "alice", ["websocket"]) as alice:
            seconds = gateway.seconds_to_stop()
            time.sleep(0.2)

            assert not alice.connected
            alice.client.eio.ws.shutdown()  # it would leave that to the garbage collector
        assert seconds < 5


@TRANSPORTS
def test_whoever_is_on_one_of_two_instances_hears_everybody(two_instances, transports):
    with ExitStack() as until_here:
        clients = [until_here.enter_context(_connect(two_instances, "support", transports)) for _ in range(8)]
        for client in clients:
            assert client.call("join_chat", {"ticket_id": 1}, timeout=5)["ok"]
        said = clients[0].call("chat_message", {"ticket_id": 1, "message": "Hello?"}, timeout=5)["message"]
        heard = [client.receive(timeout=5) for client in clients]
        instances = {client.client.eio.sid.partition(".")[0] for client in clients}

    assert heard == [["new_message", said]] * 8
    assert len(instances) == 2
