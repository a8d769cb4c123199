"""The ways to a service that are compared, on free ports: no gateway, nginx, a gateway of a dozen lines, and ours."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from processor_time import cpu_seconds_of

if TYPE_CHECKING:
    from flask import Flask

BENCHMARKS = Path(__file__).parent
GATEWAY = BENCHMARKS.parent / "api-gateway"
GATEWAY_ENVIRONMENT = {
    "SECRET_KEY": "only for this benchmark",
    "FRONTEND_URL": "https://shop.example.com",
    "RATE_LIMIT": "1000000/second burst 1000000",  # counted, but never too many
    "ADDRESS_RATE_LIMIT": "1000000/second burst 1000000",
    "MAX_IN_FLIGHT_PER_ADDRESS": "200",
}
SERVICES = ("AUTH", "PROFILE", "PRODUCT", "CART", "ORDER", "SUPPORT")

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian's nginx is not on everybody's path
NGINX = """
daemon off;
master_process off;
error_log stderr;
pid {mine}.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {mine}; proxy_temp_path {mine}; fastcgi_temp_path {mine};
  uwsgi_temp_path {mine}; scgi_temp_path {mine};
  server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }}
  {more}
}}
"""
NGINX_PROXY = (
    'proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;'
)
NGINX_POOL = "upstream upstream {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 1000000000; }}"
THREADS = "-k gthread -w 1 --keep-alive 75 --no-control-socket -b 127.0.0.1:{port}"


def service() -> "Flask":
    """The service behind all gateways."""
    from flask import Flask, Response

    app = Flask(__name__)

    @app.get("/products/<int:size>")
    def answer(size: int) -> Response:
        return Response(b"x" * size, mimetype="text/plain")

    return app


def naive() -> "Flask":
    """A gateway as one first writes it."""
    import requests
    from flask import Flask, Response, request

    app = Flask(__name__)
    not_passed_on = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length"}

    @app.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def pass_on(path: str) -> Response:
        answer = requests.request(
            request.method,
            f"{os.environ['UPSTREAM']}/{path}",
            params=request.query_string,
            data=request.get_data(),
            headers={name: value for name, value in request.headers if name != "Host"},
            timeout=30,
        )
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in not_passed_on]
        return Response(answer.content, answer.status_code, headers)

    return app


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        return cpu_seconds_of(self.process.pid)


def start_ways(started: ExitStack, folder: Path, sizes: Sequence[int], *, is_static: bool) -> list[Server]:
    """Start the service, which is the first, and the ways to it; they stop with `started`.

    :param sizes: in bytes, of what the service is going to be asked for.
    :param is_static: whether the service is an nginx with files.
    """
    starter = Starter(started, folder, sizes[0])
    upstream = (
        starter.files(sizes) if is_static else starter.gunicorn("direct", f"{THREADS} --threads 8 ways:service()")
    )
    url = f"http://127.0.0.1:{upstream.port}"
    urls = {f"{name}_SERVICE_URL": url for name in SERVICES}
    ours = "-c python:shopkit.server.gunicorn_gevent app:create_app()"
    return [
        upstream,
        starter.nginx("nginx", NGINX_PROXY, NGINX_POOL.format(port=upstream.port)),
        starter.gunicorn("naive", f"{THREADS} --threads 64 ways:naive()", UPSTREAM=url),
        starter.gunicorn("gateway", ours, GATEWAY, **GATEWAY_ENVIRONMENT, **urls),
    ]


class Starter:
    """Starts servers on free ports, with their files in one folder, and waits until they answer."""

    def __init__(self, started: ExitStack, folder: Path, size: int) -> None:
        self._started, self._folder, self._size = started, folder, size

    def files(self, sizes: Sequence[int]) -> Server:
        (self._folder / "products").mkdir()
        for size in sizes:
            (self._folder / f"products/{size}").write_bytes(b"x" * size)
        return self.nginx("direct", f"root {self._folder};")

    def nginx(self, name: str, answer: str, more: str = "") -> Server:
        port, config = _free_port(), self._folder / f"{name}.conf"
        config.write_text(NGINX.format(port=port, answer=answer, more=more, mine=self._folder / name))
        return self._start(name, port, ["nginx", "-c", str(config)], self._folder, {})

    def gunicorn(self, name: str, arguments: str, cwd: Path = BENCHMARKS, **environ: str) -> Server:
        port = _free_port()
        command = [sys.executable, "-m", "gunicorn", *arguments.format(port=port).split()]
        return self._start(name, port, command, cwd, environ)

    def _start(self, name: str, port: int, command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Server:
        log = self._folder / f"{name}.log"
        process = self._started.enter_context(_running(command, log, cwd, {"PATH": PATH, "PORT": str(port), **environ}))
        server = Server(name, port, process)
        if not _answers(server, self._size):
            raise SystemExit(f"{name} does not answer:\n{log.read_text()[-2000:]}")
        return server


@contextmanager
def _running(
    command: Sequence[str], log: Path, cwd: Path, environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own servers
            command, cwd=cwd, env={**os.environ, **environ}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(server: Server, size: int) -> bool:
    """Wait until it answers, and as it should."""
    for _ in range(200):
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", f"/products/{size}", headers={"Connection": "close"})
            answer = connection.getresponse()
            if (answer.status, len(answer.read())) == (200, size):
                return True
        if server.process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def _free_port() -> int:
    """A port below those that the system hands out by itself, or somebody else might get it before the server does."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
