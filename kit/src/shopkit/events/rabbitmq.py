"""Events through RabbitMQ: a quorum queue for each service that hears any, and one for what it cannot handle.

A message is ours until the broker has confirmed that it keeps it, and the broker's until its effect is committed.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Event as Flag
from typing import Any

from pydantic import ValidationError

from shopkit import logs
from shopkit.errors import Invalid, UpstreamFailed, invalid_fields
from shopkit.events.outbox import Send
from shopkit.events.types import Message

MOST_REDELIVERIES = 5
PATIENCE_SECONDS = 2.0
HEARTBEAT_SECONDS = 30

kombu: Any = import_module("kombu")  # half of it is annotated
amqp: Any = import_module("amqp")

# MessageNacked, of a broker that does not take a message, is no other's child; OSError is what sockets raise.
_ERRORS = (amqp.AMQPError, amqp.exceptions.MessageNacked, OSError)

logger = logging.getLogger(__name__)


@contextmanager
def sending(url: str) -> Iterator[Send]:
    """One connection for what is sent at once, opened when the first event is."""
    with _connection(url) as connection:

        def send(target: str, message: Message) -> None:
            try:
                _put(connection, target, message.model_dump_json())
            except _ERRORS as error:
                raise UpstreamFailed(f"RabbitMQ did not take the event ({type(error).__name__}).") from error

        yield send


def listen(
    url: str,
    service: str,
    receive: Callable[[Message], None],
    stopping: Flag,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Receive one event after the other until the process stops or the broker goes away."""

    def handle(message: Any) -> None:
        _handle(message, receive, wait)

    try:
        with _connection(url, heartbeat=HEARTBEAT_SECONDS) as connection, connection.channel() as channel:
            _declare(channel, service)
            with kombu.Consumer(
                channel, [_queue(service)], on_message=handle, auto_declare=False, prefetch_count=1, no_ack=False
            ):
                while not stopping.is_set():
                    _drain(connection)
    except _ERRORS as error:
        logger.warning("listening to RabbitMQ ended: %s", type(error).__name__)


@contextmanager
def dead_letters(url: str, service: str) -> Iterator[Iterator[tuple[Any, Callable[[], None]]]]:
    """What a service could not handle: each message, and what puts it back among those to be handled."""
    with _connection(url) as connection, connection.channel() as channel:
        _declare(channel, service)
        dead = _dead(service)(channel)

        def redriving(message: Any) -> Callable[[], None]:
            def redrive() -> None:
                _put(connection, service, message.body)
                message.ack()

            return redrive

        yield ((message, redriving(message)) for message in iter(dead.get, None))


def _connection(url: str, **options: Any) -> Any:
    return kombu.Connection(
        url, connect_timeout=PATIENCE_SECONDS, transport_options={"confirm_publish": True}, **options
    )


def _put(connection: Any, service: str, body: str | bytes) -> None:
    """Have the broker confirm that a message is in a service's queue, which need not have been there before."""
    with connection.channel() as channel:
        _declare(channel, service)
        kombu.Producer(channel).publish(
            body,
            routing_key=_queue(service).name,
            mandatory=True,
            delivery_mode="persistent",
            content_type="application/json",
            content_encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            confirm_timeout=PATIENCE_SECONDS,
        )


def _handle(message: Any, receive: Callable[[Message], None], wait: Callable[[float], object]) -> None:
    logs.new_request_id()
    try:
        receive(_read(message.body))
    except Invalid as error:
        logger.error("an event makes no sense and goes to the dead letters: %s", error.message)
        message.reject()
    except Exception:  # whatever it is, the broker brings the event again, and in the end to the dead letters
        logger.exception("an event was not handled")
        # The others wait too: what it lacks they may lack as well.
        wait(2 ** message.headers.get("x-delivery-count", 0))
        message.requeue()
    else:
        message.ack()


def _read(body: str | bytes) -> Message:
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        invalid_fields(error)


def _drain(connection: Any) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=1)
    connection.heartbeat_check()


def _declare(channel: Any, service: str) -> None:
    for queue in (_dead(service), _queue(service)):
        queue(channel).declare()


def _queue(service: str) -> Any:
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": MOST_REDELIVERIES,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": _dead(service).name,
        # a dead letter too leaves its queue only when the other one has it
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return kombu.Queue(f"{service}.events", queue_arguments=arguments)


def _dead(service: str) -> Any:
    return kombu.Queue(f"{service}.events.dead", queue_arguments={"x-queue-type": "quorum"})
