"""Events over HTTP: the default, which needs no other server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask_openapi3 import APIBlueprint, Tag

from shopkit.events.inbox import receive
from shopkit.events.outbox import Send
from shopkit.events.types import Message
from shopkit.http_client import ServiceClient
from shopkit.service import ViewResult

PATH = "/internal/events"

api = APIBlueprint("events", __name__, abp_tags=[Tag(name="events")])


@api.post(PATH, responses={204: None})
def receive_event(body: Message) -> ViewResult:
    """Receive an event; the same one again changes nothing. Internal: the gateway does not route it."""
    receive(body)
    return "", 204


@contextmanager
def sending(targets: Mapping[str, ServiceClient]) -> Iterator[Send]:
    def send(target: str, message: Message) -> None:
        targets[target].post(PATH, message.model_dump(mode="json"))

    yield send
