"""What no index finds waits for its turn, and what one finds never does, however many search."""

import sys
from importlib import import_module

import pytest
import sqlalchemy as sa

from shopkit.database import now
from shopkit.slots import Slots

PAGES = [
    "/products",
    "/products?page=3&per_page=100",
    "/products?category=light",
    "/products?category=light&sort=newest",
    "/products?sort=price",
    "/products?sort=-price",
    "/products?ids=1,2&in_stock=true&sort=name",
    "/products/1",
    "/products/1/reviews",
    "/categories",
    "/categories/light",
]
SEARCHES = [
    "/search?q=lamp",
    "/products?q=lamp",
    "/products?in_stock=false",
    "/products?min_rating=0",
    "/products?min_price=0",
    "/products?max_price=9",
    "/products?sort=name",
    "/products?sort=rating",
    "/products?sort=-rating",
    "/products?category=light&sort=price",
]


@pytest.fixture
def client_with(app, settings, network):
    """A client of the service with other slots for its searches, on the database of `app`."""
    others = []

    def client_with(searching):
        others.append(import_module("app").create_app(settings, network, searching))
        return others[-1].test_client()

    yield client_with
    for other in others:
        with other.app_context():
            import_module("models").db.engine.dispose()


@pytest.fixture
def busy(client_with):
    """A client of the service while as many search as may at once, and nobody else may wait."""
    searching = Slots(1, 0)
    with searching:
        yield client_with(searching)


@pytest.mark.parametrize("path", PAGES)
def test_an_ordinary_page_is_shown_while_others_search(add, busy, path):
    add()

    assert busy.get(path).status_code == 200


@pytest.mark.parametrize("path", SEARCHES)
def test_a_search_that_finds_no_slot_is_asked_to_come_again(busy, path):
    answer = busy.get(path)

    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "busy", "1")


def test_counting_the_stock_again_waits_for_its_turn_too(busy, admin):
    assert busy.get("/products/reconciliation", headers=admin).status_code == 503


def test_who_waits_for_a_search_holds_no_connection_to_the_database(client_with):
    from models import db

    held = []

    class Watched(Slots):
        def __enter__(self):
            held.append(db.engine.pool.checkedout())
            super().__enter__()

    assert client_with(Watched(1, 0)).get("/search?q=lamp").status_code == 200
    assert held == [0]


def _statements(app, client, path):
    """What is asked of the database for this, and how it would go about it."""
    import models

    asked = []
    with app.app_context():
        engine = models.db.engine

    def note(connection, cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        assert client.get(path).status_code == 200
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        return [
            (statement, [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)])
            for statement, parameters in asked
            if statement.startswith("SELECT")
        ]


@pytest.mark.parametrize("path", PAGES)
def test_an_ordinary_page_is_found_by_an_index(app, add, client, path):
    with app.app_context():
        import models

        if models.db.engine.dialect.name != "sqlite":
            pytest.skip("PostgreSQL does not look into an index for a few rows")
    add()
    for statement, plan in _statements(app, client, path):
        scans = [step for step in plan if step.startswith("SCAN products") and "INDEX" not in step]
        assert not scans, statement
        if "ids=" not in path:
            assert "USE TEMP B-TREE FOR ORDER BY" not in plan, statement


def test_what_a_booking_costs_does_not_grow_with_what_else_is_booked(app, client, service, monkeypatch):
    """Three times as many products take three times as many calls, and not nine times."""
    from catalogue.models import Product
    from models import db

    with app.app_context():
        fields = {"description": "", "category": "c", "search_text": "", "image_url": "/i", "price": 5, "on_hand": 99}
        rows = [{"id": n, "name": f"P{n}", "created_at": now(), **fields} for n in range(1, 100)]
        db.session.execute(sa.insert(Product), rows)
        db.session.commit()

    def calls(number, reservation_id):
        items = [{"product_id": n, "quantity": 1} for n in range(1, number + 1)]
        body = {"reservation_id": reservation_id, "items": items}
        count = 0

        def tally(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(tally)
        try:
            assert client.post("/internal/reservations", headers=service, json=body).status_code == 201
            path = f"/internal/reservations/{reservation_id}/commit"
            assert client.post(path, headers=service).status_code == 200
        finally:
            sys.setprofile(None)
        return count

    calls(33, "00000000-0000-0000-0000-000000000001")  # fills the caches
    few, many = (calls(n, f"00000000-0000-0000-0000-0000000000{n}") for n in (33, 99))

    assert many < 3.3 * few


def test_a_word_that_is_said_again_or_within_another_is_not_looked_for_twice(app):
    """Thirty words that every product ends with took 0.15 s for ten thousand products."""
    from catalogue.search import with_words

    assert len(with_words("Lamp lamp lam la a LAMP")) == 1
    assert len(with_words("lamp table")) == 2
