"""What is parked in the service of this folder: events that it could not deliver, and those that it could not handle.

    python -m shopkit.events list              one line each
    python -m shopkit.events show ID           all there is to know about an event
    python -m shopkit.events redrive ID        try it again
    python -m shopkit.events redrive --all

Those that it could not deliver are in its outbox. Those that it could not handle are in their publisher's outbox; or,
if they came through RabbitMQ, among its own dead letters.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from flask import Flask, current_app

from shopkit.events import outbox
from shopkit.prepare import load_app


@dataclass(frozen=True)
class Parked:
    id: str
    name: str
    target: str
    occurred_at: str
    attempts: int
    reason: str
    payload: Any


def main(arguments: list[str]) -> None:
    with load_app().app_context():
        sys.stdout.write(run(arguments))


def run(arguments: list[str]) -> str:
    """Do what is asked for with the app whose context is open, and say what came of it."""
    asked = _parse(arguments)
    if asked.command == "list":
        return "".join(f"{each.id}  {each.name}  {each.target}  {each.reason}\n" for each in _all_parked())
    if asked.command == "show":
        found = [each for each in _all_parked() if each.id == asked.id]
        return "".join(orjson.dumps(asdict(each), option=orjson.OPT_INDENT_2).decode() + "\n" for each in found)
    return f"{_redrive(asked.id)} redriven\n"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m shopkit.events", description="What is parked in this service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="one line for each event that is parked")
    commands.add_parser("show", help="all there is to know about an event").add_argument("id")
    redrive = commands.add_parser("redrive", help="try again").add_mutually_exclusive_group(required=True)
    redrive.add_argument("id", nargs="?")
    redrive.add_argument("--all", action="store_true")
    return parser.parse_args(arguments)


def _all_parked() -> list[Parked]:
    with _dead_letters() as dead:
        return [*_undelivered(), *(_described(message) for message, _ in dead)]


def _undelivered() -> Iterator[Parked]:
    for row in outbox.parked() if _keeps_outbox(current_app) else ():
        moment = row.occurred_at.isoformat()
        yield Parked(row.id, row.name, row.target, moment, row.attempts, row.last_error, row.payload)


def _redrive(event_id: str | None) -> int:
    redriven = outbox.redrive(event_id) if _keeps_outbox(current_app) else 0
    with _dead_letters() as dead:
        for message, redrive in dead:
            if event_id in (None, _described(message).id):
                redrive()
                redriven += 1
    return redriven


@contextmanager
def _dead_letters() -> Iterator[Iterator[Any]]:
    amqp_url, name = current_app.config["AMQP_URL"], current_app.config["SERVICE_NAME"]
    if not amqp_url or not current_app.extensions["event_subscriptions"]:
        yield iter(())
        return
    from shopkit.events import rabbitmq

    with rabbitmq.dead_letters(amqp_url, name) as dead:
        yield dead


def _described(message: Any) -> Parked:
    """A dead letter may be anything."""
    try:
        said = orjson.loads(message.body)
        event = said if isinstance(said, dict) else {}
    except ValueError:
        said, event = str(message.body), {}
    return Parked(
        id=str(event.get("id", "?")),
        name=str(event.get("name", "?")),
        target=current_app.config["SERVICE_NAME"],
        occurred_at=str(event.get("occurred_at", "?")),
        attempts=int(message.headers.get("x-delivery-count", 0)) + 1,
        reason=f"dead letter ({message.headers.get('x-first-death-reason', '?')})",
        payload=event.get("payload", said),
    )


def _keeps_outbox(app: Flask) -> bool:
    return outbox.TABLE in app.extensions["sqlalchemy"].metadata.tables


if __name__ == "__main__":
    main(sys.argv[1:])
