"""The whole shop in this process: the real gateway and the six real services, wired to each other by port."""

from importlib import import_module

import pytest

from shopkit.testing import Wiring

SERVICES = {
    5001: "services/auth-service",
    5002: "services/profile-service",
    5003: "services/product-service",
    5004: "services/cart-service",
    5005: "services/order-service",
    5006: "services/customer-support-service",
}


class Shop:
    """The gateway, as somebody's browser sees it."""

    def __init__(self, gateway, wiring):
        self._client = gateway.test_client()
        self.wiring = wiring
        self.token = None

    def __call__(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self._client.open(path, method=method, json=body, headers=headers)

    def sign_in(self, username, password="password123"):  # noqa: S107
        session = self("POST", "/login", {"username": username, "password": password}).json
        self.token = session["access_token"]
        return session


@pytest.fixture
def make_app(running_from, environment, tmp_path):
    """Make the app of a folder, on a database of its own, seeded."""
    made = []

    def make_app(folder, adapter):
        with running_from(folder):
            name = folder.rpartition("/")[2]
            uri = f"sqlite:///{tmp_path}/{name}.db"
            settings = import_module("settings").Settings.from_env({**environment, "DATABASE_URI": uri})
            app = import_module("app").create_app(settings, adapter)
            if folder.startswith("services/"):
                db = import_module("models").db
                with app.app_context():
                    db.create_all()
                    import_module("seed").seed()
                made.append((app, db))
        return app

    yield make_app
    for app, db in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def shop(make_app):
    wiring = Wiring()
    wiring.apps = {port: make_app(folder, wiring) for port, folder in SERVICES.items()}
    return Shop(make_app("api-gateway", wiring), wiring)


@pytest.fixture
def new_shop(shop):
    """Somebody else at the same shop: `bob = new_shop(); bob.sign_in("bob")`."""

    def new_shop():
        other = Shop.__new__(Shop)
        other._client, other.wiring, other.token = shop._client, shop.wiring, None
        return other

    return new_shop
