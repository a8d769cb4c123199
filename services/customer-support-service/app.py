"""The customer support service: tickets, and the chat about them."""

import shopkit.server.monkey_patches  # noqa: F401 - before every other import

# isort: split
from functools import partial

from flask import Flask
from requests.adapters import BaseAdapter

import chat
import standing
from event_handlers import SUBSCRIPTIONS
from listeners import new_manager
from models import db
from routes import tickets
from settings import Settings
from shopkit import events
from shopkit.server.socketio_server import new_socketio, run
from shopkit.service import create_service


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = create_service(__name__, "customer-support-service", settings, apis=[tickets], db=db, adapter=adapter)
    events.init_app(app, settings.amqp_url, subscriptions=SUBSCRIPTIONS)
    expired = partial(standing.expire, app)
    chat.init_app(new_socketio(app, settings.socketio_async_mode, new_manager(settings.redis_url), expired))
    return app


if __name__ == "__main__":
    run(create_app())
