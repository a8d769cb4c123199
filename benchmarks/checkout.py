#!/usr/bin/env python3
"""How many complete checkouts a second the running shop does, how long they take, and whose processor they cost.

    RATE_LIMIT=off ADDRESS_RATE_LIMIT=off REGISTRATION_RATE_LIMIT=off SIGN_IN_ADDRESS_RATE_LIMIT=off ./start_all.sh
    benchmarks/checkout.py [--seconds 20] [--concurrency 16]

A checkout is `POST /cart/items` and `POST /orders`, through the gateway, each customer with a connection of their own.
Machines are noisy: compare ratios and CPU per checkout within one run, not rates between runs.
"""

import argparse
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processor_time import cpu_seconds_of

ROOT = Path(__file__).parents[1]
GATEWAY = urlsplit(os.environ.get("GATEWAY_URL", "http://127.0.0.1:5000"))
PRODUCT = 1
ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}
CARD = {
    "card_number": "4242424242424242",
    "exp_month": 12,
    "exp_year": 2035,
    "cvc": "123",
    "cardholder_name": "B. Ench",
}


class Customer:
    """Somebody with a connection, an account and a card."""

    def __init__(self, username: str = "", password: str = "") -> None:
        self._connection = HTTPConnection(GATEWAY.hostname or "", GATEWAY.port or 80, timeout=60)
        self._headers = {"Content-Type": "application/json"}
        if not username:
            username, password = f"bench-{uuid.uuid4().hex[:12]}", "correct horse"
            new = {"username": username, "email": f"{username}@example.com", "password": password}
            self.call("POST", "/register", new)
        session = self.call("POST", "/login", {"username": username, "password": password})
        self._headers["Authorization"] = f"Bearer {session['access_token']}"

    def call(self, method: str, path: str, body: object = None) -> Any:
        self._connection.request(method, path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path} answered {answer.status}: {content[:300]!r}")
        return json.loads(content) if content else None

    def buy(self, card: int) -> float:
        """Check out once; the seconds it took."""
        started = time.perf_counter()
        self.call("POST", "/cart/items", {"product_id": PRODUCT, "quantity": 1})
        self.call("POST", "/orders", {"payment_method_id": card, "shipping_address": ADDRESS})
        return time.perf_counter() - started


def keep_buying(seconds: float) -> list[float]:
    customer = Customer()
    card = customer.call("POST", "/payment-methods", CARD)["id"]
    customer.buy(card)
    ends, taken = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        taken.append(customer.buy(card))
    return taken


def cpu_seconds() -> dict[str, float]:
    """What each service's processes have used so far."""
    return {
        pid_file.stem: cpu_seconds_of(int(pid_file.read_text())) for pid_file in sorted((ROOT / ".run").glob("*.pid"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()

    more = {"change": 500_000, "reason": "a benchmark"}
    Customer("admin", "password123").call("POST", f"/products/{PRODUCT}/stock", more)
    before, started = cpu_seconds(), time.perf_counter()
    with ThreadPoolExecutor(options.concurrency) as pool:
        taken = sorted(chain.from_iterable(pool.map(keep_buying, [options.seconds] * options.concurrency)))
    elapsed, used = time.perf_counter() - started, cpu_seconds()

    count = len(taken) + options.concurrency
    print(f"{len(taken) / options.seconds:.1f} checkouts/s at concurrency {options.concurrency}", end=", ")
    print(f"p50 {taken[len(taken) // 2] * 1000:.0f} ms, p99 {taken[len(taken) * 99 // 100] * 1000:.0f} ms")
    print(f"CPU a checkout, over {elapsed:.0f} s and {count} checkouts, registering and signing in included:")
    for name in before:
        print(f"  {name:26}{(used[name] - before[name]) / count * 1000:7.1f} ms")
    print(f"  {'together':26}{(sum(used.values()) - sum(before.values())) / count * 1000:7.1f} ms")


if __name__ == "__main__":
    main()
