"""Events: what has happened in one service and others want to know, told at least once and acted on once.

A fact and the events about it are one transaction: `publish` only adds rows to the `outbox`, one for each service that
hears the event. A job, `relay`, sends them on, again and again until they have arrived, and parks what fails too often
for `python -m shopkit.events`. Who receives an event enters it in its `inbox`, together with its effect, and so knows
it when it comes again. They travel over HTTP, or through RabbitMQ if there is one.

    models.py    events.keep_outbox(db); events.keep_inbox(db)
    app.py       events.init_app(app, settings.amqp_url, tell=[profiles], hear={"order.confirmed": keep_purchase})
    a view       events.publish("user.registered", {"user_id": user.id, "username": user.username})
"""

from collections.abc import Mapping, Sequence
from functools import partial
from threading import Event as Flag
from typing import Any

from flask import Flask, current_app

from shopkit import background
from shopkit.database import after_commit
from shopkit.events import http, inbox, outbox
from shopkit.events.catalogue import Event, heard_by, listeners_of
from shopkit.events.inbox import Handler, keep_inbox
from shopkit.events.outbox import Transport, keep_outbox
from shopkit.http_client import ServiceClient
from shopkit.server.shutdown_hooks import at_stop

__all__ = ["Event", "Handler", "init_app", "keep_inbox", "keep_outbox", "publish", "relay"]

RELAY_SECONDS = 0.5
LISTEN_AGAIN_SECONDS = 1


def init_app(
    app: Flask, amqp_url: str, *, tell: Sequence[ServiceClient] = (), hear: Mapping[str, Handler] | None = None
) -> None:
    """Let a service take part.

    :param tell: the services that hear what this one publishes, called with a token of our own.
    :param hear: what to do about each event that this one hears.
    :raise ValueError: the catalogue says otherwise.
    """
    name, hear = app.config["SERVICE_NAME"], hear or {}
    if {each.name for each in tell} != listeners_of(name) or hear.keys() != heard_by(name):
        raise ValueError(f"{name} tells or hears something else than the catalogue of events says")
    app.config["AMQP_URL"] = amqp_url
    app.extensions["event_handlers"] = hear
    app.extensions["event_transport"] = _transport(amqp_url, tell)
    if tell:
        background.every(app, RELAY_SECONDS, relay)
    if hear:
        app.register_api(http.api)  # type: ignore[attr-defined]
    if hear and amqp_url:
        _listen(app, name, amqp_url)


def publish(name: str, payload: Mapping[str, Any]) -> str:
    """Tell everyone who hears this event, as soon as the transaction that is open is committed, or nobody.

    :return: the id of the event.
    :raise ValueError: the event is not ours to tell, or the payload does not fit its schema.
    """
    event_id = outbox.publish(name, payload)
    after_commit(lambda: background.run_soon(current_app, relay))
    return event_id


def relay() -> None:
    """Job: send all that is due."""
    outbox.relay(current_app.extensions["event_transport"])


def _transport(amqp_url: str, tell: Sequence[ServiceClient]) -> Transport:
    if amqp_url:
        from shopkit.events import rabbitmq  # who has no broker needs no client for one

        return partial(rabbitmq.sending, amqp_url)
    return partial(http.sending, {each.name: each for each in tell})


def _listen(app: Flask, name: str, amqp_url: str) -> None:
    from shopkit.events import rabbitmq

    stopping = Flag()
    at_stop(stopping.set)

    def listen() -> None:
        rabbitmq.listen(amqp_url, name, partial(inbox.receive_in, app), stopping)

    background.every(app, LISTEN_AGAIN_SECONDS, listen)
