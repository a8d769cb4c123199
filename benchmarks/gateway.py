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
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from ways import PATH, Server, start_ways

SIZES = (200, 2_000, 64_000, 1_000_000)
CONCURRENCIES = (1, 16, 64)
GOALS_SIZE, GOALS_CONCURRENCY = 2_000, 16
GOAL_RATE = 0.8  # of nginx's requests a second, at least
GOAL_CPU = 0.4  # of the naive gateway's CPU per request, less than that

HEADERS = ("-HAccept: application/json", "-HAccept-Language: en", "-HUser-Agent: Mozilla/5.0 (benchmark)")
# wrk says at the end how many requests there were, then microseconds: how long it took, median, 99th percentile.
WRK_SCRIPT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("\\n%d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
"""


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
        ways = start_ways(started, Path(folder), options.sizes, is_static=options.upstream == "static")
        for way in ways:  # so that all are warm
            _load(way, way, options.sizes[0], max(options.concurrency), seconds=1)
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


def _compare(ways: Sequence[Server], size: int, concurrency: int, options: argparse.Namespace) -> Result:
    result: dict[str, list[Round]] = {way.name: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            result[way.name].append(_load(way, ways[0], size, concurrency, options.seconds))
    print(f"\n{size / 1000:g} KB, {concurrency} connections, {options.upstream} upstream")
    _show(result)
    return result


def _load(way: Server, upstream: Server, size: int, concurrency: int, seconds: int) -> Round:
    """Let so many connections ask one way for so long, and note what that takes of it and of the service."""
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


if __name__ == "__main__":
    main()
