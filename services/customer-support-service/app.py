"""The customer support service: tickets, and the chat about them."""

import shopkit.server.monkey_patches  # noqa: F401 - before every other import

# isort: split
from functools import partial

from flask import Flask
from requests.adapters import BaseAdapter

from chat import Chat
from conversation import Conversation
from event_handlers import subscriptions
from listeners import new_manager
from models import db
from routes import tickets
from settings import Settings
from shopkit import events
from shopkit.server.socketio_server import new_socketio, run
from shopkit.service import create_service
from standing import Standing, expire


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = create_service(__name__, "customer-support-service", settings, apis=[], db=db, adapter=adapter)
    manager = new_manager(settings.redis_url)
    socketio = new_socketio(app, settings.socketio_async_mode, manager, partial(expire, manager))
    conversation, standing = Conversation(socketio), Standing(socketio)
    app.register_api(tickets(conversation))
    events.init_app(app, settings.amqp_url, subscriptions=subscriptions(standing))
    Chat(conversation, standing).listen(socketio)
    return app


if __name__ == "__main__":
    run(create_app())
