from contextlib import contextmanager
from threading import Barrier, Thread

import pytest


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
    import models

    @contextmanager
    def row(product_id):
        with app.app_context():
            yield models.db.session.get(models.Product, product_id)

    return row
