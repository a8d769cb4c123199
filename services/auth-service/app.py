"""The auth service: who somebody is, and whether a token still holds."""

from flask import Flask
from requests.adapters import BaseAdapter

import tokens
from models import db
from routes import accounts, sessions
from settings import Settings
from shopkit import events
from shopkit.http_client import ServiceClient
from shopkit.service import create_service, run
from tokens import US, Tokens


def create_app(settings: Settings | None = None, adapter: BaseAdapter | None = None) -> Flask:
    """Everybody asks this service about tokens; it asks itself."""
    settings = settings or Settings.from_env()
    issued = Tokens.by(settings)
    app = create_service(__name__, US, settings, apis=[accounts, sessions(issued)], db=db, who_is=issued.user_of)
    tokens.init_app(app, settings)
    profiles = ServiceClient("profile-service", settings.profile_service_url, adapter, issued.own_token)
    support = ServiceClient("customer-support-service", settings.support_service_url, adapter, issued.own_token)
    events.init_app(app, settings.amqp_url, publish_to=[profiles, support])
    return app


if __name__ == "__main__":
    run(create_app())
