from urllib.parse import parse_qs, urlsplit

import pytest

LAMP = {
    "id": 2,
    "name": "Desk Lamp",
    "description": "Light",
    "price": 19.99,
    "old_price": None,
    "currency": "USD",
    "stock": 10,
    "image_url": "/images/2.svg",
    "category": "home",
    "rating": 4.5,
    "review_count": 3,
}
MUG = {**LAMP, "id": 5, "name": "Mug", "price": 7, "stock": 200, "image_url": None}


@pytest.fixture
def sold():
    return {product["id"]: dict(product) for product in (LAMP, MUG)}


@pytest.fixture
def find(sold):
    """How the product service answers."""

    return lambda request: (200, [sold[each] for each in _ids(request) if each in sold])


def _ids(request):
    query = parse_qs(urlsplit(request.url).query)
    assert query["per_page"] == ["100"]
    return [int(each) for each in query["ids"][0].split(",")]


@pytest.fixture
def withdrawn():
    """What the product service sold once."""
    return {}


@pytest.fixture
def shelf(network, sold, withdrawn, find):
    """What the product service sells: change it, and it sells that."""

    def find_withdrawn(request):
        assert request.headers["Authorization"] == "Bearer cart-service"
        return 200, [{**withdrawn[each], "is_sold": False} for each in _ids(request) if each in withdrawn]

    network.on("GET", "/products", answer=find)
    network.on("POST", "/token", {"access_token": "cart-service", "expires_in": 600})
    network.on("GET", "/internal/products", answer=find_withdrawn)
    return sold


@pytest.fixture
def withdraw(shelf, withdrawn):
    """Have the product service sell something no longer."""

    def withdraw(product_id):
        withdrawn[product_id] = shelf.pop(product_id)

    return withdraw


@pytest.fixture
def put_in(shelf, client, alice):
    """Put a product in Alice's cart; says what is answered."""
    return lambda product_id, quantity=1: client.post(
        "/cart/items", json={"product_id": product_id, "quantity": quantity}, headers=alice
    )


@pytest.fixture
def quantities(shelf, client, alice):
    """How many of which product are in Alice's cart."""

    def quantities(who=alice):
        return {item["product_id"]: item["quantity"] for item in client.get("/cart", headers=who).json["items"]}

    return quantities


@pytest.fixture
def fill(app):
    """Write quantities by product id into Alice's cart."""
    import models

    def fill(contents):
        with app.app_context():
            cart = models.locked_cart(1)
            for product_id, quantity in contents.items():
                models.db.session.add(models.CartItem(cart_id=cart.id, product_id=product_id, quantity=quantity))
            models.db.session.commit()

    return fill
