"""Whatever writes does so in one transaction, and asks the database nothing more once it is committed."""

from uuid import UUID

import pytest
import sqlalchemy as sa

RESERVATIONS = "/internal/reservations"
NEW, HELD, SOLD = UUID(int=1), UUID(int=2), UUID(int=3)
LAMP = {"name": "Lamp", "description": "It shines.", "price": 20, "category": "light", "stock": 5}
RESERVED = {"items": [{"product_id": 1, "quantity": 1}], "expires_in": 900}
BOUGHT = {
    "id": str(UUID(int=4)),
    "name": "order.confirmed",
    "occurred_at": "2026-03-01T12:00:00Z",
    "payload": {
        "order_id": 7,
        "reference": str(SOLD),
        "user_id": 1,
        "status": "confirmed",
        "total_amount": 20,
        "currency": "USD",
        "items": [{"product_id": 1, "quantity": 1, "price": 20}],
    },
}
ONE_TRANSACTION = ["begin", "commit"]
WRITING = [
    ("admin", "POST", "/products", LAMP),
    ("admin", "PUT", "/products/1", {"name": "Torch"}),
    ("admin", "PATCH", "/products/1", {"name": "Torch"}),
    ("admin", "PATCH", "/products/1", {"price": 19, "stock": 9}),
    ("admin", "DELETE", "/products/1", None),
    ("admin", "POST", "/products/1/stock", {"change": 3, "reason": "counted again"}),
    ("alice", "POST", "/products/1/reviews", {"rating": 4}),
    ("bob", "POST", "/products/1/reviews", {"rating": 4}),
    ("alice", "POST", "/favorites", {"product_id": 2}),
    ("alice", "DELETE", "/favorites/1", None),
    ("a-service", "POST", RESERVATIONS, {"reservation_id": str(NEW), **RESERVED}),
    ("a-service", "POST", f"{RESERVATIONS}/{HELD}/commit", None),
    ("a-service", "POST", f"{RESERVATIONS}/{HELD}/release", None),
    ("a-service", "POST", f"{RESERVATIONS}/{NEW}/release", None),
    ("a-service", "POST", f"{RESERVATIONS}/{SOLD}/restock", None),
    ("a-service", "POST", "/internal/events", BOUGHT),
]


@pytest.fixture
def ask(client):
    """What somebody is answered, which is no error: `ask("alice", "POST", "/favorites", {"product_id": 1})`."""

    def ask(who, method, path, body=None):
        answer = client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {who}"})
        assert answer.status_code < 400, answer.text
        return answer

    return ask


@pytest.fixture
def transactions(app):
    """What becomes of the transactions of the service, in the order in which it does."""
    from models import db

    seen = []
    with app.app_context():
        for step in ("begin", "commit", "rollback"):
            sa.event.listen(db.engine, step, lambda _, step=step: seen.append(step))
    return seen


@pytest.mark.parametrize(("who", "method", "path", "body"), WRITING)
def test_it_is_one_transaction(add, reserve, ask, transactions, who, method, path, body):
    add()
    add()
    ask("bob", "POST", "/products/1/reviews", {"rating": 1})
    ask("alice", "POST", "/favorites", {"product_id": 1})
    for reservation_id in (HELD, SOLD):
        reserve(reservation_id, p1=1)
    ask("a-service", "POST", f"{RESERVATIONS}/{SOLD}/commit")
    transactions.clear()

    ask(who, method, path, body)

    assert transactions == ONE_TRANSACTION


def test_a_reservation_that_is_sent_again_is_looked_for_once_its_id_was_taken(add, reserve, transactions):
    add()
    reserve(HELD, p1=1)
    transactions.clear()

    assert reserve(HELD, p1=1).status_code == 200
    assert transactions == ["begin", "rollback", *ONE_TRANSACTION]


def test_every_route_that_writes_is_looked_at(app):
    routes = app.url_map.bind("localhost")
    looked_at = {(routes.match(path, method)[0], method) for _, method, path, _ in WRITING}
    rules = [(rule, method) for rule in app.url_map.iter_rules() for method in rule.methods]

    assert looked_at == {(rule.endpoint, method) for rule, method in rules if method not in ("GET", "HEAD", "OPTIONS")}
