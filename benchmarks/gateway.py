#!/usr/bin/env python3
"""How fast the gateway passes requests on, and what that costs, beside nginx and beside a gateway of a dozen lines.

    .venv/bin/python benchmarks/gateway.py [--sizes 2000] [--concurrency 16] [--seconds 2] [--rounds 5] [--check]

It starts on free ports, and stops again, a service that answers `/products/<bytes>` with so many bytes, and the ways
to it:

direct    no gateway at all
nginx     a reverse proxy of one worker that keeps its connections
naive     Flask, and a `requests.request` for every request
gateway   ours as it is deployed, but without rate limits

Each has its turn in every round, so that whatever else the machine does hits all alike. A figure is the median of the
rounds. A ratio is the median of the rounds' ratios: trust it more than rates, which change with the machine. CPU is
what the processes of a way used per request, the service apart. `--upstream static` puts an nginx with files in the
place of the service, so that the gateway alone is what limits.

It needs wrk and nginx, and ends with 1 if a request failed or, with `--check`, if a goal was missed.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

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

SIZES = (200, 2_000, 64_000, 1_000_000)
CONCURRENCIES = (1, 16, 64)
GOALS_SIZE, GOALS_CONCURRENCY = 2_000, 16
GOAL_RATE = 0.8  # of nginx's requests a second, at least
GOAL_CPU = 0.4  # of the naive gateway's CPU per request, less than that

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian's nginx is not on everybody's path
TICKS = os.sysconf("SC_CLK_TCK")
HEADERS = ("-HAccept: application/json", "-HAccept-Language: en", "-HUser-Agent: Mozilla/5.0 (benchmark)")
# wrk says at the end how many requests there were, then microseconds: how long it took, median, 99th percentile.
WRK_SCRIPT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("\\n%d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
"""
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
        return sum(map(_cpu_of, _family(str(self.process.pid))))


@dataclass(frozen=True)
class Round:
    """What one way did in a few seconds of load: milliseconds, and microseconds of CPU per request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    upstream_cpu: float
    errors: int


Result = Mapping[str, list[Round]]
"""All rounds of one size and concurrency, by the name of the way."""


def main() -> None:
    options = _options()
    for program in ("wrk", "nginx"):
        if shutil.which(program, path=PATH) is None:
            raise SystemExit(f"{program} is missing. On Debian: apt-get install wrk nginx-light")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="gateway-benchmark-") as folder, ExitStack() as started:
        ways = _start(started, Path(folder), options)
        results = {
            (size, concurrency): _compare(ways, size, concurrency, options)
            for size, concurrency in product(options.sizes, options.concurrency)
        }
    are_met = _show_goals(results.get((GOALS_SIZE, GOALS_CONCURRENCY)))
    if failed := sum(each.errors for result in results.values() for rounds in result.values() for each in rounds):
        raise SystemExit(f"{failed} requests failed.")
    raise SystemExit(1 if options.check and not are_met else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=2, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="BYTES")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCIES, metavar="CONNECTIONS")
    parser.add_argument("--upstream", choices=("flask", "static"), default="flask")
    parser.add_argument("--check", action="store_true", help="end with 1 if a goal was missed")
    return parser.parse_args()


def _start(started: ExitStack, folder: Path, options: argparse.Namespace) -> list[Server]:
    """Start the service, which is the first, and the ways to it, and let them run warm."""

    def start(name: str, port: int, command: Sequence[str], cwd: Path = folder, **environ: str) -> Server:
        log = folder / f"{name}.log"
        process = started.enter_context(_running(command, log, cwd, {"PATH": PATH, "PORT": str(port), **environ}))
        server = Server(name, port, process)
        if not _answers(server, options.sizes[0]):
            raise SystemExit(f"{name} does not answer:\n{log.read_text()[-2000:]}")
        _load(server, server, options.sizes[0], max(options.concurrency), seconds=1)
        return server

    def nginx(name: str, answer: str, more: str = "") -> Server:
        port, config = _free_port(), folder / f"{name}.conf"
        config.write_text(NGINX.format(port=port, answer=answer, more=more, mine=folder / name))
        return start(name, port, ["nginx", "-c", str(config)])

    def gunicorn(name: str, arguments: str, cwd: Path = BENCHMARKS, **environ: str) -> Server:
        port = _free_port()
        return start(
            name, port, [sys.executable, "-m", "gunicorn", *arguments.format(port=port).split()], cwd, **environ
        )

    if options.upstream == "static":
        (folder / "products").mkdir()
        for size in options.sizes:
            (folder / f"products/{size}").write_bytes(b"x" * size)
        upstream = nginx("direct", f"root {folder};")
    else:
        upstream = gunicorn("direct", f"{THREADS} --threads 8 gateway:service()")
    url = f"http://127.0.0.1:{upstream.port}"
    urls = {f"{name}_SERVICE_URL": url for name in SERVICES}
    return [
        upstream,
        nginx("nginx", NGINX_PROXY, NGINX_POOL.format(port=upstream.port)),
        gunicorn("naive", f"{THREADS} --threads 64 gateway:naive()", UPSTREAM=url),
        gunicorn(
            "gateway",
            "-c python:shopkit.server.gunicorn_gevent app:create_app()",
            GATEWAY,
            **GATEWAY_ENVIRONMENT,
            **urls,
        ),
    ]


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


def _compare(ways: Sequence[Server], size: int, concurrency: int, options: argparse.Namespace) -> Result:
    result: dict[str, list[Round]] = {way.name: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            result[way.name].append(_load(way, ways[0], size, concurrency, options.seconds))
    print(f"\n{size / 1000:g} KB, {concurrency} connections, {options.upstream} upstream")
    _show(result)
    return result


def _load(way: Server, upstream: Server, size: int, concurrency: int, seconds: int) -> Round:
    url = f"http://127.0.0.1:{way.port}/products/{size}"
    # wrk itself reads the script; its thread, which has no use for it, then finds an empty one.
    command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}", "--timeout=10", "-s/dev/stdin", *HEADERS, url]
    used, used_upstream = way.cpu_seconds(), upstream.cpu_seconds()
    ran = subprocess.run(command, input=WRK_SCRIPT, capture_output=True, text=True, check=True)  # noqa: S603
    used, used_upstream = way.cpu_seconds() - used, upstream.cpu_seconds() - used_upstream
    count, duration, p50, p99, errors = map(int, ran.stdout.splitlines()[-1].split())
    if not count:
        raise SystemExit(f"{way.name} answered nothing in {seconds} s:\n{ran.stdout}")
    return Round(
        rate=count / duration * 1_000_000,
        p50=p50 / 1000,
        p99=p99 / 1000,
        cpu=0 if way is upstream else used / count * 1_000_000,
        upstream_cpu=used_upstream / count * 1_000_000,
        errors=errors,
    )


def _show(result: Result) -> None:
    print("        requests/s   p50 ms   p99 ms   CPU µs  service µs  errors  rate/nginx  CPU/naive")
    for name, rounds in result.items():
        rate, p50, p99, cpu, service_cpu = (
            median(getattr(each, figure) for each in rounds) for figure in ("rate", "p50", "p99", "cpu", "upstream_cpu")
        )
        errors = sum(each.errors for each in rounds)
        rate_ratio, cpu_ratio = _ratios(result, name)
        print(f"{name:8}{rate:10.0f}{p50:9.2f}{p99:9.2f}{cpu:9.0f}{service_cpu:12.0f}", end="")
        print(f"{errors:8}{rate_ratio:12.2f}{cpu_ratio:11.2f}")


def _show_goals(result: Result | None) -> bool:
    if result is None:
        print(f"\nThe goals are about {GOALS_SIZE} bytes and {GOALS_CONCURRENCY} connections: not measured.")
        return False
    rate, cpu = _ratios(result, "gateway")
    print(f"\nGoals, at {GOALS_SIZE / 1000:g} KB and {GOALS_CONCURRENCY} connections:")
    print(f"{'✓' if rate >= GOAL_RATE else '✗'} {rate:.2f} of nginx's requests/s, at least {GOAL_RATE}")
    print(f"{'✓' if cpu < GOAL_CPU else '✗'} {cpu:.2f} of the naive gateway's CPU per request, less than {GOAL_CPU}")
    return rate >= GOAL_RATE and cpu < GOAL_CPU


def _ratios(result: Result, name: str) -> tuple[float, float]:
    """Of nginx's requests a second, and of the naive gateway's CPU."""
    rounds = list(zip(result[name], result["nginx"], result["naive"], strict=True))
    rate = median(one.rate / nginx.rate for one, nginx, _ in rounds)
    return rate, median(one.cpu / naive.cpu for one, _, naive in rounds)


def _free_port() -> int:
    """A port below those that the system hands out by itself, or somebody else might get it before the server does."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _family(pid: str) -> Iterator[str]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(child)


def _cpu_of(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
