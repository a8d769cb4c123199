"""Everybody signs in at the same time, with and without the right password; the service is a real process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parents[1]
RIGHT = {"username": "alice", "password": "password123"}
WRONG = {**RIGHT, "password": "wrong"}
LONGEST_WAIT = 3.0  # seconds, that anybody else may notice


class Server:
    def __init__(self, process, port):
        self.process, self.port = process, port

    def ask(self, path, body=None, token="nobody's"):  # noqa: S107
        """The status, the answer and the seconds that it took, on a connection of its own."""
        began = time.monotonic()
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), time.monotonic() - began

    def all_at_once(self, number, body):
        """So many sign in; what each of them is answered."""
        answers, start = [], threading.Barrier(number)

        def sign_in():
            start.wait(30)
            answers.append(self.ask("/login", body))

        threads = [threading.Thread(target=sign_in) for _ in range(number)]
        for thread in threads:
            thread.start()
        yield answers
        for thread in threads:
            thread.join(60)


@pytest.fixture
def server(environment, tmp_path):
    """The service under gunicorn, with the threads that its example gives it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    example = dict(
        line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if line.startswith("THREADS=")
    )
    settings = {"PORT": str(port), "DATABASE_URI": f"sqlite:///{tmp_path}/auth.db", "SEED_DEMO_DATA": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:shopkit.server.gunicorn_conf", "app:create_app()"],
        cwd=FOLDER,
        env={**os.environ, **environment, **example, **settings},
    )
    server = Server(process, port)
    try:
        _wait_until_ready(server)
        yield server
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            server.ask("/validate")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it did not start")


def test_twenty_who_sign_in_at_once_all_get_in(server):
    for _ in range(3):  # on a machine that is busy with something else, one of them may have to come again
        crowd = server.all_at_once(20, RIGHT)
        answers = next(crowd)
        next(crowd, None)
        if {status for status, _, _ in answers} == {200}:
            break

    assert [status for status, _, _ in answers] == [200] * 20


def test_nobody_else_notices_three_hundred_wrong_passwords(server):
    token = server.ask("/login", RIGHT)[1]["access_token"]
    crowd = server.all_at_once(300, WRONG)
    answers = next(crowd)
    validated = []
    while len(answers) < 300:
        validated.append(server.ask("/validate", token=token))
    next(crowd, None)

    assert {status for status, _, _ in answers} <= {401, 503}
    assert {status for status, _, _ in validated} == {200}
    assert max(seconds for _, _, seconds in validated) < LONGEST_WAIT
    assert server.ask("/login", RIGHT)[0] == 200
