"""Who the gateway is, and whether the services behind it can work."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from itertools import chain
from threading import Lock

from flask import Blueprint, Response, jsonify, request

from pages import status_page
from pages.fan_out import call_all
from pages.status_page import ServiceHealth
from routing import SERVICES
from shop_services import GATEWAY
from shopkit.errors import NotFound, Unavailable
from shopkit.http_client import ServiceClient

NAME = GATEWAY.name
SECONDS = 1.0

Clients = Mapping[str, Sequence[ServiceClient]]
"""All instances of each service."""


def blueprint(services: Clients) -> Blueprint:
    about = Blueprint("about", __name__, template_folder="templates")
    check = _once_a_second(services)

    @about.get("/")
    def introduce() -> Response:
        return status_page.page(check()) if status_page.is_wanted() else _all_services()

    @about.get("/health/live")
    def live() -> dict[str, object]:
        return {"status": "ok", "service": NAME}

    @about.get("/health/ready")
    def ready() -> dict[str, object]:
        """For load balancers: with some of the services the shop is still of use, with none it is not."""
        found = check()
        is_ready = any(each.ok for each in found.values())
        return _report(found, "" if is_ready else "Not ready: no service is.")

    @about.get("/health")
    def health() -> dict[str, object]:
        found = check()
        away = ", ".join(name for name, each in found.items() if not each.ok)
        return _report(found, f"Not well: {away}." if away else "")

    return about


def _all_services() -> Response:
    response = jsonify(service=NAME, services=SERVICES)
    response.vary.add("Accept")
    return response


def _report(found: Mapping[str, ServiceHealth], problem: str) -> dict[str, object]:
    """:raise Unavailable: there is a problem."""
    services = {name: "ok" if each.ok else "away" for name, each in found.items()}
    milliseconds = {name: each.milliseconds and round(each.milliseconds, 1) for name, each in found.items()}
    if problem:
        raise Unavailable(problem, services=services, milliseconds=milliseconds)
    status = "ok" if all(each.word == "works" for each in found.values()) else "degraded"
    return {"status": status, "service": NAME, "services": services, "milliseconds": milliseconds}


def restrict_metrics() -> None:
    """Metrics are for machines in our own network: not for public addresses, nor for who comes through a proxy."""
    if request.endpoint != "metrics":
        return
    if "X-Forwarded-For" in request.headers or not ip_address(request.remote_addr or "::1").is_private:
        raise NotFound("There is nothing here.")


def _once_a_second(services: Clients) -> Callable[[], dict[str, ServiceHealth]]:
    """Asking is dear, and anybody may have us do it: those who come at once share an answer."""
    lock = Lock()
    known: dict[str, ServiceHealth] = {}
    until = 0.0

    def check() -> dict[str, ServiceHealth]:
        nonlocal known, until
        with lock:
            if time.monotonic() >= until:
                known = check_all(services)
                until = time.monotonic() + SECONDS
            return known

    return check


def check_all(services: Clients) -> dict[str, ServiceHealth]:
    """Ask all at once; who has not answered after a second counts as away, whatever it is doing."""
    answered = call_all({each: partial(_milliseconds, each) for each in chain(*services.values())}, SECONDS)
    return {name: _health(clients, answered) for name, clients in services.items()}


def _milliseconds(client: ServiceClient) -> float:
    """How long it takes to say that it is ready."""
    begin = time.perf_counter()
    client.call("GET", "/health/ready", seconds=SECONDS)
    return (time.perf_counter() - begin) * 1000


def _health(instances: Sequence[ServiceClient], answered: Mapping[ServiceClient, float]) -> ServiceHealth:
    milliseconds = [answered[each] for each in instances if each in answered]
    return ServiceHealth(min(milliseconds, default=None), len(instances), len(milliseconds))
