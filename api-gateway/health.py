"""Who the gateway is, and whether the services behind it can work."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from ipaddress import ip_address

from flask import Blueprint, request

from routing import SERVICES
from shopkit.errors import NotFound, Unavailable
from shopkit.http_client import ServiceClient

NAME = "api-gateway"
SECONDS = 1.0


def blueprint(services: Sequence[ServiceClient]) -> Blueprint:
    about = Blueprint("about", __name__)

    @about.get("/")
    def introduce() -> dict[str, object]:
        return {"service": NAME, "services": SERVICES}

    @about.get("/health/live")
    def live() -> dict[str, object]:
        return {"status": "ok", "service": NAME}

    @about.get("/health")
    @about.get("/health/ready")
    def ready() -> dict[str, object]:
        found = _ask_all(services)
        away = [name for name, state in found.items() if state != "ok"]
        if away:
            raise Unavailable(f"Not ready: {', '.join(away)}.", services=found)
        return {"status": "ok", "service": NAME, "services": found}

    return about


def keep_metrics_inside() -> None:
    """Metrics are for the machines around us: not for who comes from afar or through another proxy."""
    nearby = ip_address(request.remote_addr or "::1").is_private and "X-Forwarded-For" not in request.headers
    if request.endpoint == "metrics" and not nearby:
        raise NotFound("There is nothing here.")


def _ask_all(services: Sequence[ServiceClient]) -> dict[str, str]:
    """Ask all at once; who has not answered after a second counts as away, whatever it is doing."""
    pool = ThreadPoolExecutor(len(services))
    answers = {each.name: pool.submit(each.call, "GET", "/health/ready", seconds=SECONDS) for each in services}
    pool.shutdown(wait=False)
    wait(answers.values(), timeout=SECONDS)
    return {name: "ok" if _is_fine(answer) else "away" for name, answer in answers.items()}


def _is_fine(answer: Future[object]) -> bool:
    return answer.done() and answer.exception() is None
