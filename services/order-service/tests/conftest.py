import pytest

ADDRESS = {"address_line1": "12 Orchard Lane", "city": "Portland", "postal_code": "97201", "country": "US"}


@pytest.fixture
def partners(network):
    """Alice's cart holds two lamps and a cable, there is stock, and her card works."""
    lamps = {"product_id": 1, "product_name": "Lamp", "product_image": "/images/lamp.svg", "price": 20.5, "quantity": 2}
    cable = {"product_id": 7, "product_name": "Cable", "product_image": None, "price": 9.99, "quantity": 1}
    network.on("GET", "/cart", {"id": 1, "items": [lamps, cable], "total": 50.99, "currency": "USD"})
    network.on("POST", "/token", {"access_token": "order-service", "expires_in": 600})
    network.on(
        "POST",
        "/internal/reservations",
        {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]},
        201,
    )
    network.on("POST", "/internal/carts/1/bought", None, 204)
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
def check_out(client, alice, partners):
    def check_out(headers=None, **changes):
        body = {"payment_method_id": 1, "shipping_address": ADDRESS, **changes}
        body = {name: value for name, value in body.items() if value is not None}
        return client.post("/orders", json=body, headers={**alice, **(headers or {})})

    return check_out


@pytest.fixture
def charges(app):
    """The lines of the sandbox's ledger: (amount, declined, refunded)."""

    def charges():
        import sqlalchemy as sa

        from models import db
        from payments import SandboxCharge

        with app.app_context():
            rows = db.session.scalars(sa.select(SandboxCharge)).all()
            return [(row.amount, row.declined, row.refunded) for row in rows]

    return charges
