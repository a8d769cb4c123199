from uuid import uuid4

import pytest


@pytest.fixture
def hear(client, service):
    """Hear of what became of an order of alice's."""

    def hear(status, order_id=7, user_id=1, total_amount=59.97, event_id=None):
        payload = {
            "order_id": order_id,
            "reference": str(uuid4()),
            "user_id": user_id,
            "status": status,
            "total_amount": total_amount,
            "currency": "USD",
            "items": [{"product_id": 3, "quantity": 3, "price": 19.99}],
        }
        event = {"id": str(event_id or uuid4()), "name": f"order.{status}", "payload": payload}
        event["occurred_at"] = "2026-03-01T12:00:00Z"
        response = client.post("/internal/events", json=event, headers=service)
        assert response.status_code == 204, response.text

    return hear


@pytest.fixture
def ticket(client, alice):
    return client.post("/tickets", headers=alice, json={"subject": "A lamp", "message": "Where is it?"}).json


@pytest.fixture
def orders(client, ticket, support):
    """What support sees of the orders of who wrote the ticket."""
    return lambda: client.get(f"/tickets/{ticket['id']}", headers=support).json["recent_orders"]


def test_staff_see_what_the_writer_of_a_ticket_has_ordered(hear, orders):
    hear("confirmed")

    assert orders() == [{"order_id": 7, "status": "confirmed", "total_amount": 59.97, "currency": "USD"}]


def test_the_dearest_order_there_can_be_is_heard_of(hear, orders):
    hear("confirmed", total_amount=990_000_000)

    assert orders()[0]["total_amount"] == 990_000_000


def test_the_ticket_is_otherwise_the_same(client, ticket, support, alice, orders):
    shown = client.get(f"/tickets/{ticket['id']}", headers=support).json

    assert shown == {**ticket, "recent_orders": []}
    assert client.get(f"/tickets/{ticket['id']}", headers=alice).json == ticket


@pytest.mark.parametrize("last", ["cancelled", "delivered"])
def test_the_last_status_counts_even_if_events_overtake_each_other(hear, orders, last):
    hear("confirmed", order_id=7)
    hear(last, order_id=7)
    hear(last, order_id=8)
    hear("confirmed", order_id=8)

    assert [(order["order_id"], order["status"]) for order in orders()] == [(8, last), (7, last)]


def test_the_same_event_twice_is_one(hear, orders):
    event_id = uuid4()
    for _ in range(2):
        hear("confirmed", event_id=event_id)

    assert len(orders()) == 1


def test_the_last_five_are_shown(hear, orders):
    for order_id in range(1, 8):
        hear("confirmed", order_id)

    assert [order["order_id"] for order in orders()] == [7, 6, 5, 4, 3]


def test_the_orders_of_others_are_not_shown(hear, orders):
    hear("confirmed", user_id=2)

    assert orders() == []


def test_a_customer_sees_no_orders_there(hear, client, ticket, alice):
    hear("confirmed")

    assert "recent_orders" not in client.get(f"/tickets/{ticket['id']}", headers=alice).json
