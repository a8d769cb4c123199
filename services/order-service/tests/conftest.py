import socket
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from shopkit.database import now

# It would keep its data in a file that all who run it on a machine share.
START_LOCALSTRIPE = """
import sys
from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]))
"""
ADDRESS = {"address_line1": "12 Orchard Lane", "city": "Portland", "postal_code": "97201", "country": "US"}


@pytest.fixture
def others(network):
    """Alice's cart holds two lamps and a cable, there is stock, and her card works."""
    lamps = {
        "product_id": 1,
        "product_name": "Lamp",
        "product_image": "/images/lamp.svg",
        "price": 20.5,
        "quantity": 2,
        "problems": [],
    }
    cable = {
        "product_id": 7,
        "product_name": "Cable",
        "product_image": None,
        "price": 9.99,
        "quantity": 1,
        "problems": [],
    }
    cart = {"id": 11, "version": 3, "items": [lamps, cable], "in_checkout": None, "total": 50.99, "currency": "USD"}
    network.on("GET", "/cart", cart)
    network.on("POST", "/internal/claims", None, 201)
    network.on("POST", "/internal/claims/*/return", None, 204)
    network.on("POST", "/token", {"access_token": "order-service", "expires_in": 600})
    network.on(
        "POST",
        "/internal/reservations",
        {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]},
        201,
    )
    _card(network, "sandbox_succeeds_1")
    for step in ("commit", "release", "restock"):
        network.on("POST", f"/internal/reservations/*/{step}", {})
    return network


def _card(network, token):
    network.on(
        "GET",
        "/internal/payment-methods/1",
        {"id": 1, "user_id": 1, "provider": "sandbox", "provider_token": token, "brand": "visa", "last_four": "4242"},
    )


@pytest.fixture
def card(network):
    """Say what alice's card does: `card("sandbox_card_declined_1")`."""
    return lambda token: _card(network, token)


@pytest.fixture
def check_out(client, alice, others):
    def check_out(headers=None, **changes):
        body = {"payment_method_id": 1, "shipping_address": ADDRESS, **changes}
        body = {name: value for name, value in body.items() if value is not None}
        return client.post("/orders", json=body, headers={**alice, **(headers or {})})

    return check_out


@pytest.fixture
def steps(others):
    """What the cart and the stock were asked to do, in order."""

    def steps():
        paths = [path for method, path in others.calls if method == "POST" and path.startswith("/internal/")]
        return [path.rpartition("/")[2] for path in paths]

    return steps


@pytest.fixture
def charges(app):
    """What the sandbox was asked to charge, and did or declined: (amount, declined, refunded)."""

    def charges():
        import sqlalchemy as sa

        from payments.provider import VOIDED
        from payments.sandbox import ledger

        with app.extensions["payment_provider"].engine.connect() as connection:
            rows = connection.execute(sa.select(ledger).order_by(ledger.c.created_at)).all()
        return [(row.amount, row.declined, row.refunded) for row in rows if row.declined != VOIDED]

    return charges


@pytest.fixture
def recover(app):
    """What the job does, when nobody works on the orders any more."""

    def recover():
        import sqlalchemy as sa

        from models import db
        from orders.models import Order

        with app.app_context():
            db.session.execute(sa.update(Order).values(leased_until=now() - timedelta(seconds=1)))
            db.session.commit()
            app.extensions["settlement"].recover()

    return recover


@pytest.fixture(scope="session")
def localstripe():
    """A stand-in for Stripe, in a process of its own; says where it listens."""
    pytest.importorskip("localstripe", reason="localstripe is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", START_LOCALSTRIPE, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port, process):
    for _ in range(200):
        assert process.poll() is None, "localstripe did not start"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("localstripe does not listen")
