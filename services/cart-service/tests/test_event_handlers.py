from uuid import uuid4

import pytest

LAMP = 2
PATH = "/internal/events"


@pytest.fixture
def lamp(network):
    """What the product service says of the lamp: change it, and it says that."""
    lamp = {"id": LAMP, "name": "Desk Lamp", "price": 19.99, "stock": 10, "image_url": None}
    network.on("GET", "/products", answer=lambda _: (200, [lamp]))
    return lamp


@pytest.fixture
def item(lamp, client, alice):
    """The lamp in alice's cart."""
    return client.post("/cart/items", json={"product_id": LAMP, "quantity": 2}, headers=alice).json["items"][0]


@pytest.fixture
def problems(item, client, alice):
    """Codes of what is wrong with the lamp, and since when."""

    def problems():
        [shown] = client.get("/cart", headers=alice).json["items"]
        return {problem["code"]: problem["since"] for problem in shown["problems"]}

    return problems


@pytest.fixture
def hear(client, service):
    """Hear something of a product that happened at a minute."""

    def hear(name, minute, product_id=LAMP, **payload):
        event = {"id": str(uuid4()), "name": name, "payload": {"product_id": product_id, **payload}}
        event["occurred_at"] = f"2026-03-01T12:{minute:02}:00Z"
        response = client.post(PATH, json=event, headers=service)
        assert response.status_code == 204, response.text

    return hear


@pytest.fixture
def price(lamp, hear):
    """Let the lamp cost something else from a minute on; whether that is the price now is another question."""

    def price(value, minute, *, now=True, **event):
        if now:
            lamp["price"] = value
        hear("product.price_changed", minute, price=value, previous_price=1, currency="USD", **event)

    return price


@pytest.fixture
def stock(lamp, hear):
    """Let there be so many lamps from a minute on."""

    def stock(number, minute, *, now=True):
        if now:
            lamp["stock"] = number
        hear("product.stock_changed", minute, stock=number)

    return stock


class TestPrices:
    def test_the_cart_says_since_when_a_price_is_another(self, problems, price):
        price(24.5, minute=1)

        assert problems() == {"price_changed": "2026-03-01T12:01:00Z"}

    def test_the_last_change_counts_even_if_events_overtake_each_other(self, problems, price):
        price(24.5, minute=2)
        price(22, minute=1, now=False)

        assert problems() == {"price_changed": "2026-03-01T12:02:00Z"}

    def test_the_price_that_was_seen_is_no_change(self, problems, price, lamp):
        price(19.99, minute=1)
        lamp["price"] = 24.5

        assert problems() == {"price_changed": None}

    def test_who_accepts_the_price_hears_of_the_next_change_only(self, problems, price, client, alice, item, lamp):
        price(24.5, minute=1)
        client.put(f"/cart/items/{item['id']}", json={"quantity": 3}, headers=alice)
        accepted = problems()
        lamp["price"] = 26

        assert accepted == {}
        assert problems() == {"price_changed": None}

    def test_other_products_are_others(self, problems, price):
        price(24.5, minute=1, product_id=3)

        assert problems() == {"price_changed": None}


class TestStock:
    def test_the_cart_says_since_when_nothing_is_left(self, problems, stock):
        stock(0, minute=1)

        assert problems() == {"out_of_stock": "2026-03-01T12:01:00Z"}

    def test_what_is_back_is_forgotten(self, problems, stock, lamp):
        stock(0, minute=1)
        stock(5, minute=2)
        back = problems()
        lamp["stock"] = 0

        assert back == {}
        assert problems() == {"out_of_stock": None}

    def test_an_older_event_changes_nothing(self, problems, stock):
        stock(0, minute=2)
        stock(5, minute=1, now=False)

        assert problems() == {"out_of_stock": "2026-03-01T12:02:00Z"}

    def test_fewer_are_no_news(self, problems, stock):
        stock(2, minute=1)

        assert problems() == {}
