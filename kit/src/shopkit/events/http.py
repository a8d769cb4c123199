"""Events over HTTP: the default, which needs no other server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask_openapi3 import APIBlueprint, Tag

from shopkit.events.catalogue import Event
from shopkit.events.inbox import receive
from shopkit.events.outbox import Send
from shopkit.http_client import ServiceClient
from shopkit.service import Answer

PATH = "/internal/events"

api = APIBlueprint("events", __name__, abp_tags=[Tag(name="events")])


@api.post(PATH, responses={204: None})
def hear(body: Event) -> Answer:
    """Hear of an event; the same one again changes nothing. Internal: the gateway does not route it."""
    receive(body)
    return "", 204


@contextmanager
def sending(targets: Mapping[str, ServiceClient]) -> Iterator[Send]:
    def send(target: str, event: Event) -> None:
        targets[target].post(PATH, event.model_dump(mode="json"))

    yield send
