from uuid import uuid4

import pytest
import sqlalchemy as sa

EVENTS = "/internal/events"


@pytest.fixture
def published(app):
    """The payloads of the events of a name, in the order in which they were published."""
    import models

    def published(name):
        outbox = models.db.metadata.tables["outbox"]
        with app.app_context():
            rows = models.db.session.execute(sa.select(outbox).filter_by(name=name).order_by(outbox.c.occurred_at))
            return [row.payload for row in rows]

    return published


@pytest.fixture
def publish(app):
    """What the service does every second."""
    from stock.publisher import publish_stock

    def publish(*_):
        with app.app_context():
            publish_stock()

    return publish


@pytest.fixture
def lamp(add, publish, app):
    """The id of a product whose stock was published."""
    import models

    product_id = add()["id"]
    publish()
    with app.app_context():
        models.db.session.execute(sa.delete(models.db.metadata.tables["outbox"]))
        models.db.session.commit()
    return product_id


@pytest.fixture
def order(client, service):
    """Receive the event of what became of alice's order: `order("confirmed", product_id)`."""

    def order(status, *product_ids, order_id=7, event_id=None):
        payload = {
            "order_id": order_id,
            "reference": str(uuid4()),
            "user_id": 1,
            "status": status,
            "total_amount": 40,
            "currency": "USD",
            "items": [{"product_id": product_id, "quantity": 1, "price": 20} for product_id in product_ids],
        }
        event = {"id": str(event_id or uuid4()), "name": f"order.{status}", "payload": payload}
        response = client.post(EVENTS, json={**event, "occurred_at": "2026-03-01T12:00:00Z"}, headers=service)
        assert response.status_code == 204, response.text

    return order


@pytest.fixture
def is_verified(client, alice):
    """Whether alice's review of a product is by somebody who bought it."""

    def is_verified(product_id):
        written = client.post(f"/products/{product_id}/reviews", headers=alice, json={"rating": 5})
        [listed] = client.get(f"/products/{product_id}/reviews").json
        assert written.json == listed
        return listed["verified_purchase"]

    return is_verified


class TestPrices:
    def test_a_new_price_is_published_with_the_one_before(self, client, admin, lamp, published):
        client.put(f"/products/{lamp}", headers=admin, json={"price": 19.99})

        assert published("product.price_changed") == [
            {"product_id": lamp, "price": 19.99, "previous_price": 20, "currency": "USD"}
        ]

    @pytest.mark.parametrize("change", [{"name": "Torch"}, {"price": 20}, {"price": 30, "old_price": 25}])
    def test_a_price_that_stays_or_is_refused_is_not_published(self, client, admin, lamp, published, change):
        client.put(f"/products/{lamp}", headers=admin, json=change)

        assert published("product.price_changed") == []


class TestStock:
    def test_changes_in_quick_succession_are_one_event(self, lamp, reserve, publish, published):
        reserve(**{f"p{lamp}": 2})
        reserve(**{f"p{lamp}": 1})

        publish()
        publish()

        assert published("product.stock_changed") == [{"product_id": lamp, "stock": 2}]

    def test_every_way_to_change_it_is_published(self, lamp, set_stock, reserve, move, publish, published):
        reservation_id = uuid4()
        for change in (
            lambda: reserve(reservation_id, **{f"p{lamp}": 2}),
            lambda: move(reservation_id, "commit"),  # sold is as little to buy as held
            lambda: move(reservation_id, "restock"),
            lambda: set_stock(lamp, 0),
        ):
            change()
            publish()

        assert [each["stock"] for each in published("product.stock_changed")] == [3, 5, 0]

    def test_several_processes_publish_it_once(self, lamp, reserve, publish, at_once, published):
        reserve(**{f"p{lamp}": 2})

        at_once(4, publish)

        assert len(published("product.stock_changed")) == 1

    def test_a_change_after_it_was_published_is_published_the_next_time(self, lamp, reserve, publish, published):
        publish()
        reserve(**{f"p{lamp}": 2})
        publish()

        assert published("product.stock_changed") == [{"product_id": lamp, "stock": 3}]


class TestPurchases:
    def test_who_bought_a_product_writes_a_verified_review(self, lamp, order, is_verified):
        before = is_verified(lamp)
        order("confirmed", lamp, lamp)

        assert (before, is_verified(lamp)) == (False, True)

    def test_who_cancelled_did_not_buy_it_unless_in_another_order(self, lamp, order, is_verified):
        order("confirmed", lamp)
        order("cancelled", lamp)
        cancelled = is_verified(lamp)
        order("confirmed", lamp, order_id=8)

        assert (cancelled, is_verified(lamp)) == (False, True)

    def test_what_was_delivered_stays_bought(self, lamp, order, is_verified):
        order("confirmed", lamp)
        order("delivered", lamp)

        assert is_verified(lamp)

    @pytest.mark.parametrize(("last", "bought"), [("cancelled", False), ("delivered", True)])
    def test_events_may_overtake_each_other(self, lamp, order, is_verified, last, bought):
        order(last, lamp)
        order("confirmed", lamp)

        assert is_verified(lamp) is bought

    def test_the_same_event_twice_is_one(self, app, lamp, order):
        from models import db
        from reviews.models import Purchase

        event_id = uuid4()
        for _ in range(2):
            order("confirmed", lamp, event_id=event_id)

        with app.app_context():
            assert db.session.scalar(sa.select(sa.func.count()).select_from(Purchase)) == 1

    def test_somebody_elses_purchase_verifies_nothing(self, lamp, order, client, bob):
        order("confirmed", lamp)

        review = client.post(f"/products/{lamp}/reviews", headers=bob, json={"rating": 1}).json

        assert review["verified_purchase"] is False


def test_the_cart_service_gets_events_with_a_token_of_our_own(app, network, lamp, client, admin):
    from shopkit import events

    network.on("POST", "/token", {"access_token": "ours", "expires_in": 600})
    network.on("POST", EVENTS, status=204)
    client.put(f"/products/{lamp}", headers=admin, json={"price": 19.99})

    with app.app_context():
        events.relay()

    assert network.requests[-1].url == f"http://127.0.0.1:5004{EVENTS}"
    assert network.requests[-1].headers["Authorization"] == "Bearer ours"
    assert network.sent("POST", EVENTS)[0]["name"] == "product.price_changed"
