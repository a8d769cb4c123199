"""The auth service: who somebody is, and whether a token still holds."""

from flask import Flask
from requests.adapters import BaseAdapter

import tokens
from models import db
from routes import accounts, sessions
from settings import Settings
from shopkit.service import create_service, run


def create_app(settings: Settings | None = None, _: BaseAdapter | None = None) -> Flask:
    """Everybody asks this service about tokens; it asks itself, and no other service."""
    settings = settings or Settings.from_env()
    app = create_service(__name__, "auth-service", settings, apis=[accounts, sessions], db=db, who_is=tokens.user_of)
    tokens.init_app(app, settings)
    return app


app = create_app()

if __name__ == "__main__":
    run(app)
