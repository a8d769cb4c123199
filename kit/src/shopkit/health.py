"""Is the process alive, and can it work: `/health/live`, `/health/ready` and `/health`, which is ready."""

from collections.abc import Callable, Mapping

from flask import Flask

from shopkit.auth import public
from shopkit.errors import Unavailable

Checks = Mapping[str, Callable[[], None]]
"""What the service cannot work without, by name; a check raises when it is not there."""


def init_app(app: Flask, name: str, checks: Checks) -> None:
    @app.route("/health/live")
    @public
    def live() -> dict[str, object]:
        return {"status": "ok", "service": name}

    @app.route("/health")
    @app.route("/health/ready", endpoint="ready")
    @public
    def health() -> dict[str, object]:
        missing = {each: reason for each, check in checks.items() if (reason := _why_not(check))}
        if missing:
            raise Unavailable(f"{name} is not ready: {', '.join(missing)}.", checks=missing)
        return {"status": "ok", "service": name, "checks": dict.fromkeys(checks, "ok")}


def _why_not(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Exception as error:  # whatever it is, it is the reason why we are not ready
        return type(error).__name__
    return None
