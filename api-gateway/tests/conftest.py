import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest
import redis
from werkzeug.serving import make_server

GATEWAY = Path(__file__).parents[1]
SERVICES = ("AUTH", "PROFILE", "PRODUCT", "CART", "ORDER", "SUPPORT")
SERVERS = {
    "gevent": ["-m", "gunicorn", "-c", "python:shopkit.server.gunicorn_gevent", "app:create_app()"],
    "threads": ["-m", "gunicorn", "-c", "python:shopkit.server.gunicorn_conf", "app:create_app()"],
}


@pytest.fixture
def environ():
    """More settings, for tests to give: `@pytest.mark.parametrize("environ", [{"MAX_SOCKETS": "0"}])`"""
    return {}


@pytest.fixture
def settings(environ):
    fixed = {"SECRET_KEY": "x", "FRONTEND_URL": "https://shop.example.com"}
    return import_module("settings").Settings.from_env({**fixed, **environ})


@pytest.fixture
def app(settings, network):
    """The gateway, with no services but `network`."""
    return import_module("app").create_app(settings, network)


@pytest.fixture(scope="session")
def upgrade():
    """The headers of a request for a WebSocket (RFC 6455, section 1.3)."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }


class Clock:
    """Time that goes on when a test says so: `clock.now += 5`"""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def redis_url():
    """The Redis of all tests; they share it, and so keep to keys of their own."""
    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
    with redis.Redis.from_url(url, socket_timeout=1) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            pytest.skip(f"no Redis at {url}: {error}")
    return url


class Upstream(ThreadingHTTPServer):
    """A service of any name, in this process: it shows what reaches it and misbehaves on demand."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.forget()

    def forget(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.go_on = Event()
        self.hung_up = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, *connection) -> None:
        self.connections += 1
        super().process_request(*connection)

    def handle_error(self, *_: object) -> None:
        """The gateway hangs up on us in many tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Upstream

    def answer(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def show(self) -> None:
        """Answer with the request as it arrived."""
        length = self.read_body()
        seen = json.dumps(
            {"target": self.path, "method": self.command, "headers": dict(self.headers), "length": length}
        ).encode()
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(seen)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(seen)

    def read_body(self) -> int:
        """Read the body by pieces, as large as it may be; it says 0 for one that is cut off."""
        length = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline() or b"0", 16):
                length += len(self.rfile.read(size + 2)) - 2
            self.rfile.readline()
        for left in range(int(self.headers.get("Content-Length", 0)), 0, -65536):
            data = self.rfile.read(min(left, 65536))
            length += len(data)
            if len(data) < min(left, 65536):
                self.server.hung_up.set()
                return 0
        return length

    def do_POST(self) -> None:
        if self.path == "/validate" and self.headers["Authorization"] == "Bearer a-service":
            user = b'{"user": {"id": 0, "role": "service"}}'
            self.answer(Content_Length=len(user))
            self.wfile.write(user)
        else:
            self.show()

    do_PUT = do_DELETE = do_HEAD = do_OPTIONS = show  # noqa: N815 - http.server's names

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        self.server.requests.append(self.requestline)
        return parsed

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        name = "echo" if "transport=websocket" in query else path.rpartition("/")[2]
        getattr(self, name, self.show)()

    def large(self) -> None:
        self.answer(Content_Length=100 * 1024 * 1024)
        for _ in range(100):
            self.wfile.write(bytes(1024 * 1024))

    def medium(self) -> None:
        """More than sockets hold, but not more than a spool does."""
        self.answer(Content_Length=12 * 1024 * 1024)
        for number in range(12):
            self.wfile.write(bytes([number]) * 1024 * 1024)

    def endless(self) -> None:
        self.answer(Transfer_Encoding="chunked")
        try:
            while True:
                self.chunk(bytes(65536))
        except OSError:
            self.server.hung_up.set()
            self.close_connection = True

    def events(self) -> None:
        self.answer(Content_Type="text/event-stream", Transfer_Encoding="chunked")
        self.chunk(b"data: first\n\n")
        self.server.go_on.wait(10)
        self.chunk(b"data: second\n\n")
        self.chunk(b"")

    def cut(self) -> None:
        """Go away in the middle of an answer."""
        self.answer(Content_Length=1_000_000)
        self.wfile.write(bytes(500_000))
        self.close_connection = True

    def vanish(self) -> None:
        """Close a kept-alive connection instead of answering, once."""
        if self.server.go_on.is_set():
            self.show()
        self.server.go_on.set()
        self.close_connection = True

    def slow(self) -> None:
        self.server.go_on.wait(10)
        self.show()

    def echo(self) -> None:
        """Agree to a WebSocket, say something in the same breath, and then say back what comes."""
        self.wfile = self.connection.makefile("wb")
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome"
        )
        self.wfile.flush()
        while data := self.connection.recv(65536):
            self.connection.sendall(data)
        self.server.hung_up.set()
        self.wfile.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def one_upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        thread = Thread(target=upstream.serve_forever, args=(0.02,))
        thread.start()
        yield upstream
        upstream.shutdown()
        thread.join()


@pytest.fixture
def upstream(one_upstream) -> Iterator[Upstream]:
    one_upstream.forget()
    yield one_upstream
    one_upstream.go_on.set()


class Stub:
    """A service that answers each request with the same bytes, whatever these are, and hangs up if it is told to."""

    def __init__(self) -> None:
        self.answer = b""
        self.hangs_up = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests, suppress(OSError):
            while requests.readline():
                while requests.readline() not in (b"\r\n", b""):
                    pass
                connection.sendall(self.answer)
                if self.hangs_up:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def one_stub() -> Iterator[Stub]:
    with closing(Stub()) as stub:
        yield stub


@pytest.fixture
def stub(one_stub) -> Stub:
    one_stub.hangs_up = False
    return one_stub


class Response(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection(HTTPConnection):
    def ask(self, *request: Any, **options: Any) -> Response:
        """Send a request, described as for `HTTPConnection.request`, and read its answer."""
        self.request(*request, **options)
        answer = self.getresponse()
        return Response(answer.status, answer.headers, answer.read())


class Server:
    """The gateway, or a service, as it runs: mostly in a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen | None = None) -> None:
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self.process = process

    def ask(self, *request: Any, **options: Any) -> Response:
        """Ask over a connection of its own."""
        with closing(self.connect()) as connection:
            return connection.ask(*request, **options)

    def connect(self) -> Connection:
        return Connection(*self.address, timeout=10)

    def socket(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def worker_megabytes(self) -> float:
        """The most memory that the process at work has had."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def seconds_to_stop(self) -> float:
        begin = time.monotonic()
        self.process.terminate()
        self.process.wait(20)
        return time.monotonic() - begin


@pytest.fixture(scope="module")
def start(one_upstream, run):
    """Start the gateway with `upstream` behind every path: `with start("gevent") as gateway: …`

    The development server runs in this process, the others in their own, as they are deployed.
    """

    def start(server: str = "gevent", **settings: object):
        urls = {f"{name}_SERVICE_URL": one_upstream.url for name in SERVICES}
        fixed = {"SECRET_KEY": "x", "RATE_LIMIT": "off", "ADDRESS_RATE_LIMIT": "off"}
        environ = {**fixed, **urls, **{name: str(value) for name, value in settings.items()}}
        return _in_this_process(environ) if server == "development" else run(GATEWAY, environ, server)

    return start


@contextmanager
def _in_this_process(environ: dict[str, str]) -> Iterator[Server]:
    settings = import_module("settings").Settings.from_env(environ)
    server = make_server("127.0.0.1", 0, import_module("app").create_app(settings), threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Server(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Run the app of a folder in processes of its own: `with run(folder, environ) as server: …`"""

    @contextmanager
    def run(folder: Path, environ: dict[str, str], server: str = "gevent") -> Iterator[Server]:
        port = _free_port()
        with (tmp_path_factory.mktemp(server) / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own server
                [sys.executable, *SERVERS[server]],
                cwd=folder,
                env={**os.environ, **environ, "PORT": str(port)},
                stdout=log,
                stderr=log,
            )
        running = Server(port, process)
        try:
            _wait_for(running)
            yield running
        finally:
            process.terminate()
            process.wait(20)

    return run


@pytest.fixture
def free_port():
    return _free_port()


def _free_port() -> int:
    """A port below those that the system hands out by itself, or somebody else might get it before the server does."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _wait_for(server: Server) -> None:
    for _ in range(400):
        with suppress(OSError, HTTPException):
            server.ask("GET", "/health/live")
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")
