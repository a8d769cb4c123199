import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


@contextmanager
def _service(status):
    """Answers whoever asks whether it is ready with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _exit_code(port):
    environment = {**os.environ, "PORT": str(port)}
    return subprocess.run([sys.executable, "-m", "shopkit.probe"], env=environment, timeout=60, check=False).returncode


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (404, 1)])
def test_a_container_is_healthy_when_its_service_is_ready_and_only_then(status, exit_code):
    with _service(status) as port:
        assert _exit_code(port) == exit_code


def test_a_container_whose_service_is_away_is_not_healthy():
    with _service(200) as port:
        pass
    assert _exit_code(port) == 1
