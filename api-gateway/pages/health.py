"""Who the gateway is, and whether the services behind it can work."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from ipaddress import ip_address
from itertools import chain
from threading import Lock
from typing import Any

from flask import Blueprint, Response, jsonify, request

from pages import status_page
from pages.status_page import State
from routing import SERVICES
from shopkit.errors import NotFound, Unavailable
from shopkit.http_client import ServiceClient

NAME = "api-gateway"
SECONDS = 1.0

Clients = Mapping[str, Sequence[ServiceClient]]
"""All instances of each service."""


def blueprint(services: Clients) -> Blueprint:
    about = Blueprint("about", __name__, template_folder="templates")
    ask = _once_a_second(services)

    @about.get("/")
    def introduce() -> Response:
        if status_page.is_wanted():
            return status_page.page(ask())
        response = jsonify(service=NAME, services=SERVICES)
        response.vary.add("Accept")
        return response

    @about.get("/health/live")
    def live() -> dict[str, object]:
        return {"status": "ok", "service": NAME}

    @about.get("/health/ready")
    def ready() -> dict[str, object]:
        """For load balancers: with some of the services the shop is still of use, with none it is not."""
        states = ask()
        if not any(state.ok for state in states.values()):
            raise Unavailable("Not ready: no service is.", **_in_json(states))
        return {"status": _status(states), "service": NAME, **_in_json(states)}

    @about.get("/health")
    def health() -> dict[str, object]:
        states = ask()
        away = [name for name, state in states.items() if not state.ok]
        if away:
            raise Unavailable(f"Not well: {', '.join(away)}.", **_in_json(states))
        return {"status": _status(states), "service": NAME, **_in_json(states)}

    return about


def keep_metrics_inside() -> None:
    """Metrics are for machines in our own network: not for public addresses, nor for who comes through a proxy."""
    if request.endpoint != "metrics":
        return
    if "X-Forwarded-For" in request.headers or not ip_address(request.remote_addr or "::1").is_private:
        raise NotFound("There is nothing here.")


def _once_a_second(services: Clients) -> Callable[[], dict[str, State]]:
    """Asking is dear, and anybody may have us do it: those who come at once share an answer."""
    lock = Lock()
    known: dict[str, State] = {}
    until = 0.0

    def ask() -> dict[str, State]:
        nonlocal known, until
        with lock:
            if time.monotonic() >= until:
                known = ask_all(services)
                until = time.monotonic() + SECONDS
            return known

    return ask


def ask_all(services: Clients) -> dict[str, State]:
    """Ask all at once; who has not answered after a second counts as away, whatever it is doing."""
    pool = ThreadPoolExecutor(sum(map(len, services.values())))
    answers = {name: [pool.submit(_milliseconds, each) for each in clients] for name, clients in services.items()}
    pool.shutdown(wait=False)
    wait(chain.from_iterable(answers.values()), timeout=SECONDS)
    return {name: _state(each) for name, each in answers.items()}


def _milliseconds(client: ServiceClient) -> float:
    begin = time.perf_counter()
    client.call("GET", "/health/ready", seconds=SECONDS)
    return (time.perf_counter() - begin) * 1000


def _state(answers: Sequence[Future[float]]) -> State:
    fine = [each.result() for each in answers if each.done() and not each.exception()]
    return State(ok=bool(fine), milliseconds=min(fine, default=None), instances=len(answers), instances_ok=len(fine))


def _status(states: Mapping[str, State]) -> str:
    return "ok" if all(state.word == "works" for state in states.values()) else "degraded"


def _in_json(states: Mapping[str, State]) -> dict[str, Any]:
    return {
        "services": {name: "ok" if state.ok else "away" for name, state in states.items()},
        "milliseconds": {
            name: None if state.milliseconds is None else round(state.milliseconds, 1) for name, state in states.items()
        },
    }
