from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import uuid4

import pytest
import sqlalchemy as sa

RESERVATIONS = "/internal/reservations"


@pytest.fixture
def add(client, admin):
    """Put a product into the shop: `add(price=5)`."""

    def add(**fields):
        lamp = {"name": "Lamp", "description": "It shines.", "price": 20, "category": "light", "stock": 5}
        response = client.post("/products", headers=admin, json={**lamp, **fields})
        assert response.status_code == 201, response.json
        return response.json

    return add


@pytest.fixture
def set_stock(client, admin):
    """Let so many of a product be there to buy, having looked at it: `set_stock(1, 10)`."""

    def set_stock(product_id, stock, *, by=client):
        path = f"/products/{product_id}"
        headers = {**admin, "If-Match": by.get(path).headers["ETag"]}
        return by.put(path, headers=headers, json={"stock": stock})

    return set_stock


@pytest.fixture
def at_once(app):
    """Do the same thing in several threads at once, each with a client and a number of its own."""

    def at_once(number, act):
        start, results = Barrier(number), [None] * number

        def run(n):
            client = app.test_client()
            start.wait()
            results[n] = act(client, n)

        threads = [Thread(target=run, args=(n,)) for n in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return at_once


@pytest.fixture
def row(app):
    """A product as it stands in the database: `with row(1) as product: …`"""
    from catalogue.models import Product
    from models import db

    @contextmanager
    def row(product_id):
        with app.app_context():
            yield db.session.get(Product, product_id)

    return row


@pytest.fixture
def reserve(client, service):
    """Reserve stock: `reserve(p1=2)` is two of product 1."""

    def reserve(reservation_id=None, *, by=client, expires_in=900, items=None, **wanted):
        body = {
            "reservation_id": str(reservation_id or uuid4()),
            "items": items or [{"product_id": int(name[1:]), "quantity": number} for name, number in wanted.items()],
            "expires_in": expires_in,
        }
        return by.post(RESERVATIONS, headers=service, json=body)

    return reserve


@pytest.fixture
def move(client, service):
    def move(reservation_id, verb, by=client):
        return by.post(f"{RESERVATIONS}/{reservation_id}/{verb}", headers=service)

    return move


@pytest.fixture
def on_shelf(row):
    """(on hand, reserved) of a product."""

    def on_shelf(product_id):
        with row(product_id) as product:
            return product.on_hand, product.reserved

    return on_shelf


@pytest.fixture
def expire(app):
    """Let the time of all reservations be over."""
    from models import db
    from stock.models import Reservation

    def expire():
        with app.app_context():
            past = datetime.now(UTC) - timedelta(seconds=1)
            db.session.execute(sa.update(Reservation).values(expires_at=past))
            db.session.commit()

    return expire


@pytest.fixture
def sweep(app):
    """What the service does every half minute."""
    from stock import reservations

    def sweep(*_):
        with app.app_context():
            reservations.sweep()

    return sweep


@pytest.fixture
def the_books_balance(client, admin):
    """In the end the movements add up to the stock, and what is reserved is held by somebody."""
    yield
    assert client.get("/products/reconciliation", headers=admin).json["products_wrong"] == []
