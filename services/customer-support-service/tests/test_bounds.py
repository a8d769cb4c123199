"""What a stranger, or a customer who means ill, can make the chat do: attacks through the whole app."""

import json
import os
import socket
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread, current_thread

import pytest
import requests

FOLDER = Path(__file__).parents[1]
OPENING = "/socket.io/?EIO=4&transport=polling"
UPGRADE = "/socket.io/?EIO=4&transport=websocket"
PROBLEM = "application/problem+json"
HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": b64encode(bytes(16)).decode(),
}


@pytest.mark.parametrize(
    "address",
    [
        f"{OPENING}&j=0",
        f"{OPENING}&j=",
        "/socket.io/?transport=polling",
        "/socket.io/?EIO=3&transport=polling",
        "/socket.io/?EIO=4",
        "/socket.io/?EIO=4&transport=flash",
        UPGRADE,
        f"{OPENING}&sid=nobody",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_session_and_opens_none_is_a_400(client, method, address):
    answer = client.open(address, method=method)

    assert (answer.status_code, answer.content_type) == (400, PROBLEM)
    assert answer.json["code"] == "bad_request"


@pytest.mark.parametrize(
    ("method", "wrong", "status"),
    [
        ("GET", {"Sec-WebSocket-Key": ""}, 400),
        ("GET", {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ("GET", {"Connection": "keep-alive"}, 400),
        ("GET", {"Sec-WebSocket-Version": "12"}, 426),
        ("POST", {}, 400),
    ],
)
def test_a_malformed_handshake_is_an_answer_and_no_traceback(client, caplog, method, wrong, status):
    answer = client.open(UPGRADE, method=method, headers={**HEADERS, **wrong})

    assert (answer.status_code, answer.content_type) == (status, PROBLEM)
    assert not [record for record in caplog.records if record.exc_info]


class Session:
    def __init__(self, client, token=None, opening=OPENING):
        self.client = client
        self.path = f"{OPENING}&sid={json.loads(client.get(opening).text[1:])['sid']}"
        if token:
            self.send(f'40{{"token":"{token}"}}')
            self.first = self.hear()

    def send(self, *packets):
        return self.client.post(self.path, data="\x1e".join(packets))

    def hear(self):
        return self.client.get(self.path).text


@pytest.mark.parametrize(
    "packet",
    [
        "b" + b64encode(bytes(100)).decode(),
        '451-["chat_message",{"_placeholder":true,"num":0}]',
        '4599999999-["chat_message"]',
        '461-0["x"]',
        "42" + "[" * 30_000,
        "42" + '["x",' * 500 + "0" + "]" * 500,
        '42["join_chat",{"ticket_id":' + "9" * 33 + "}]",
        '42["join_chat",{"ticket_id":1e999999999999999999999999999999999999}]',
        '42["join_chat",{"ticket_id":NaN}]',
        "42[1]",
        "42[[]]",
        "42" + "1" * 101 + '["leave_chat"]',
        "40/" + "x" * 1000,
    ],
)
def test_what_would_be_dear_to_read_ends_the_session_unread(seeded, caplog, packet):
    session = Session(seeded.test_client(), "alice")

    answer = session.send(packet)

    assert (answer.status_code, session.client.get(session.path).status_code) in {(400, 400), (200, 200)}
    assert answer.status_code == 400 or packet.startswith('42["x"')
    assert not [record for record in caplog.records if record.exc_info]


def test_an_account_has_so_many_sockets_and_the_next_is_told_so(seeded, alice):
    sessions = [Session(seeded.test_client(), "alice") for _ in range(21)]

    assert [each.first.startswith("40") for each in sessions] == [True] * 20 + [False]
    refusal = json.loads(sessions[-1].first[2:])
    assert refusal["data"]["code"] == "too_many_sockets"
    sessions[0].send("1")
    assert Session(seeded.test_client(), "alice").first.startswith("40")


@pytest.mark.parametrize("opening", [OPENING, f"{OPENING}&sid=", f"{OPENING}&sid=&sid="])
def test_strangers_do_not_lock_out_who_signs_in(seeded, opening):
    strangers = [Session(seeded.test_client(), opening=opening) for _ in range(40)]

    assert Session(seeded.test_client(), "alice").first.startswith("40")
    still_there = [each for each in strangers if each.client.post(each.path, data="3").status_code == 200]
    assert len(still_there) <= 30


def test_who_is_too_fast_waits_and_who_goes_on_is_cut_off(seeded, monkeypatch):
    waited, engine, here = [], seeded.extensions["socketio"].server.eio, current_thread()
    sleep = engine.sleep
    session = Session(seeded.test_client(), "alice")
    monkeypatch.setattr(engine, "sleep", lambda s: waited.append(s) if current_thread() is here else sleep(s))
    leave = '42["leave_chat",{"ticket_id":1}]'

    assert session.send(*[leave] * 199).status_code == 200
    assert sum(waited) == 0
    assert session.send(*[leave] * 10).status_code == 200
    assert 0 < sum(waited) < 20
    assert session.send(*[leave] * 200).status_code == 400


class AuthService(BaseHTTPRequestHandler):
    def do_POST(self):
        name = self.headers["Authorization"].removeprefix("Bearer ")
        body = json.dumps({"user": {"id": 1, "username": name, "email": "", "role": "customer"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - http.server's name

    def log_message(self, *_):
        pass


class Running:
    def __init__(self, port, process):
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    def megabytes(self):
        """Of the process at work, now."""
        pid = self._process.pid
        worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        return int(Path(f"/proc/{worker}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024

    def websocket(self, address=UPGRADE, **headers):
        client = socket.create_connection(self.address, timeout=10)
        head = "".join(f"{name}: {text}\r\n" for name, text in {"Host": "shop", **HEADERS, **headers}.items())
        client.sendall(f"GET {address} HTTP/1.1\r\n{head}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(4096)
        return client, answer


@pytest.fixture(scope="module")
def running(tmp_path_factory, environment):
    """The service as it is deployed."""
    auth = ThreadingHTTPServer(("127.0.0.1", 0), AuthService)
    Thread(target=auth.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("running")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    environment = {
        **os.environ,
        **environment,
        "PORT": str(port),
        "DATABASE_URI": f"sqlite:///{folder}/support.db",
        "SEED_DEMO_DATA": "true",
        "AUTH_SERVICE_URL": f"http://127.0.0.1:{auth.server_port}",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:shopkit.server.gunicorn_gevent", "app:create_app()"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=log, stderr=log)  # noqa: S603
    try:
        yield _once_it_answers(Running(port, process))
    finally:
        process.terminate()
        process.wait(20)
        auth.shutdown()
        auth.server_close()
    assert "Traceback" not in (folder / "log").read_text()


def _once_it_answers(running):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(requests.ConnectionError):
            if requests.get(f"{running.url}/health/live", timeout=5).ok:
                return running
        time.sleep(0.1)
    raise AssertionError("the service did not start")


def _frame(payload, first=0x81):
    length = len(payload)
    head = bytes([first, 0x80 | length]) if length < 126 else bytes([first, 0x80 | 126]) + length.to_bytes(2)
    return head + bytes(4) + payload


@contextmanager
def _flooding(running, frames, **headers):
    """A socket that sends the same again and again, until it is hung up on or held back for long."""
    client, _ = running.websocket(**headers)
    client.settimeout(1)

    def flood():
        with suppress(OSError):
            for _ in range(20_000):
                client.sendall(frames)

    flooder = Thread(target=flood)
    flooder.start()
    yield
    flooder.join(60)
    client.close()


def _deflated():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(deflate.compress(bytes(2**20)) for _ in range(50)) + deflate.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("frames", "headers"),
    [
        (_frame(b"4" + b"x" * 1000) * 60, {}),
        (_frame(b"3") * 5000, {}),
        (_frame(b"ping", 0x89) * 500, {}),
        (_frame(b"x" * 4000, 0x00) * 16, {}),
        (_frame(_deflated()[:60_000], 0xC1), {"Sec-WebSocket-Extensions": "permessage-deflate"}),
    ],
    ids=["messages", "pongs", "pings", "fragments", "deflated"],
)
def test_a_flood_without_a_token_takes_no_memory_and_nobodys_turn(running, frames, headers):
    before, slowest = running.megabytes(), 0.0
    with _flooding(running, frames, **headers):
        for _ in range(10):
            begin = time.monotonic()
            assert requests.get(f"{running.url}/tickets", headers={"Authorization": "Bearer alice"}, timeout=10).ok
            slowest = max(slowest, time.monotonic() - begin)

    assert slowest < 3
    assert running.megabytes() - before < 20


@pytest.mark.processes
def test_compression_is_not_agreed_to(running):
    client, answer = running.websocket(**{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    client.close()

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"permessage-deflate" not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.processes
def test_who_does_not_sign_in_is_told_so_and_cut_off(running):
    client, _ = running.websocket()
    client.settimeout(30)
    said = b""
    while data := client.recv(4096):
        said += data
    client.close()

    assert said.endswith(b"nobody signed in within 10 seconds")


@pytest.mark.processes
def test_a_websocket_that_a_session_has_not_moved_to_ends_with_the_session(running):
    session = json.loads(requests.get(running.url + OPENING, timeout=10).text[1:])["sid"]
    client, answer = running.websocket(f"{UPGRADE}&sid={session}")
    client.settimeout(30)
    assert answer.startswith(b"HTTP/1.1 101 ")

    said = b""
    while data := client.recv(4096):
        said += data
    client.close()

    assert said.endswith(b"nobody signed in within 10 seconds")
