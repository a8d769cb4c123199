"""The customer support service: tickets, and the chat about them."""

import green  # noqa: F401 - eventlet's patches come before every other import

# isort: split
from flask import Flask
from requests.adapters import BaseAdapter

import chat
import connections
from event_handlers import SUBSCRIPTIONS
from models import db
from routes import tickets
from settings import Settings
from shopkit import events
from shopkit.service import create_service


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    settings = settings or Settings.from_env()
    app = create_service(__name__, "customer-support-service", settings, apis=[tickets], db=db, adapter=adapter)
    events.init_app(app, settings.amqp_url, subscriptions=SUBSCRIPTIONS)
    chat.init_app(connections.new_socketio(app, settings))
    return app


app = create_app()

if __name__ == "__main__":
    connections.run(app)
