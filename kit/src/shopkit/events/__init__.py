"""Events: what has happened in one service and others want to know, delivered at least once and handled once.

A fact and the events about it are one transaction: `publish` only adds rows to the `outbox`, one for each service that
has subscribed. A job, `relay`, sends them on, again and again until they have arrived, and parks what fails too often
for `python -m shopkit.events`. Who receives an event enters it in its `inbox`, together with its effect, and so knows
it when it comes again. They travel over HTTP, or through RabbitMQ if there is one.

    models.py          events.keep_outbox(db); events.keep_inbox(db)
    event_handlers.py  SUBSCRIPTIONS = [Subscription("create_profile", create_profile, [UserRegistered])]
    app.py             events.init_app(app, settings.amqp_url, publish_to=[profiles], subscriptions=SUBSCRIPTIONS)
    a view             events.publish(UserRegistered(user_id=user.id, username=user.username))
"""

from collections.abc import Sequence
from functools import partial
from threading import Event as Flag
from typing import Any

from flask import Flask, current_app

from shopkit import background
from shopkit.events import http, inbox, outbox
from shopkit.events.inbox import Subscription, keep_inbox
from shopkit.events.outbox import Transport, keep_outbox
from shopkit.events.types import Event, subscribed_by, subscribers_of
from shopkit.http_client import ServiceClient
from shopkit.server.shutdown_hooks import at_stop
from shopkit.transactions import after_commit

__all__ = ["Event", "Subscription", "init_app", "keep_inbox", "keep_outbox", "publish", "relay"]

RELAY_SECONDS = 0.5
LISTEN_AGAIN_SECONDS = 1


def init_app(
    app: Flask,
    amqp_url: str,
    *,
    publish_to: Sequence[ServiceClient] = (),
    subscriptions: Sequence[Subscription[Any]] = (),
) -> None:
    """Let a service take part.

    :param publish_to: the services that have subscribed to what this one publishes, called with a token of our own.
    :param subscriptions: what to do about each event that this service has subscribed to.
    :raise ValueError: the declarations of the events say otherwise.
    """
    name, by_event = app.config["SERVICE_NAME"], inbox.by_event(subscriptions)
    if {each.name for each in publish_to} != subscribers_of(name) or by_event.keys() != subscribed_by(name):
        raise ValueError(f"{name} publishes to others or handles other events than those declare")
    app.config["AMQP_URL"] = amqp_url
    app.extensions["event_subscriptions"] = by_event
    app.extensions["event_transport"] = _transport(amqp_url, publish_to)
    if publish_to:
        background.every(app, RELAY_SECONDS, relay)
    if subscriptions:
        app.register_api(http.api)  # type: ignore[attr-defined]
    if subscriptions and amqp_url:
        _listen(app, name, amqp_url)


def publish(event: Event) -> None:
    """Tell all subscribers as soon as the transaction that is open is committed, or nobody.

    :raise ValueError: the event is another service's to publish.
    """
    outbox.publish(event)
    after_commit(lambda: background.run_soon(current_app, relay))


def relay() -> None:
    """Job: send all that is due."""
    outbox.relay(current_app.extensions["event_transport"])


def _transport(amqp_url: str, publish_to: Sequence[ServiceClient]) -> Transport:
    if amqp_url:
        from shopkit.events import rabbitmq  # who has no broker needs no client for one

        return partial(rabbitmq.sending, amqp_url)
    return partial(http.sending, {each.name: each for each in publish_to})


def _listen(app: Flask, name: str, amqp_url: str) -> None:
    from shopkit.events import rabbitmq

    stopping = Flag()
    at_stop(stopping.set)

    def listen() -> None:
        rabbitmq.listen(amqp_url, name, partial(inbox.receive_in, app), stopping)

    background.every(app, LISTEN_AGAIN_SECONDS, listen)
