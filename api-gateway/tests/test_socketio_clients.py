"""The chat as customers use it: real Socket.IO clients, through the gateway, to the real support service."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

import pytest
import socketio

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("chat over redis")]  # one channel for all

SUPPORT_SERVICE = Path(__file__).parents[2] / "services" / "customer-support-service"
JS_CLIENT = Path(__file__).parent / "js-client"
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
def run_support(run, tmp_path_factory):
    """Run an instance of the support service: `with run_support() as support: …`; all are on one database."""
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
        yield lambda **more: run(SUPPORT_SERVICE, {**settings, **more})
        auth.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def support(run_support):
    with run_support() as support:
        yield support


@pytest.fixture(scope="module")
def shop(start, support):
    """The URL of a gateway with one instance behind it."""
    with start(SUPPORT_SERVICE_URL=support.url) as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def two_instances(start, run_support, redis_url):
    """The URL of a gateway with two of them, which hear of each other through Redis."""
    with (
        run_support(REDIS_URL=redis_url) as one,
        run_support(REDIS_URL=redis_url) as other,
        start(SUPPORT_SERVICE_URL=f"{one.url},{other.url}") as gateway,
    ):
        yield gateway.url


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


def test_a_client_whose_gateway_stops_is_told_so(start, support):
    with (
        start(SUPPORT_SERVICE_URL=support.url) as gateway,
        _connect(gateway.url, "alice", ["websocket"]) as alice,
    ):
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
