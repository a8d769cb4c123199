import pytest

from models import db
from shopkit import migrate

NEW = {"name": "Lamp", "description": "It shines.", "price": 19.99, "category": "light", "stock": 5}


def test_a_product_is_shown_to_everyone(seeded, client):
    response = client.get("/products/1")

    assert response.status_code == 200
    assert response.json == {
        "id": 1,
        "name": "Wireless Headphones",
        "description": response.json["description"],
        "price": 129.0,
        "old_price": 159.0,
        "currency": "USD",
        "stock": 120,
        "image_url": "/images/wireless-headphones.svg",
        "category": "audio",
        "rating": 4.5,
        "review_count": 2,
    }


def test_what_was_never_reduced_or_reviewed_has_no_old_price_and_no_rating(add):
    product = add()

    assert (product["old_price"], product["rating"], product["review_count"]) == (None, None, 0)


@pytest.mark.parametrize("product_id", [25, 0, 2**31, 10**30, "lamp"])
def test_a_product_that_does_not_exist_is_a_404(seeded, client, product_id):
    assert client.get(f"/products/{product_id}").status_code == 404


class TestAdding:
    def test_an_administrator_adds_a_product(self, client, admin):
        response = client.post(
            "/products", headers=admin, json={**NEW, "old_price": 25.5, "image_url": "/images/desk-lamp.svg"}
        )

        assert response.status_code == 201
        assert response.json == client.get(f"/products/{response.json['id']}").json
        assert (response.json["price"], response.json["old_price"], response.json["stock"]) == (19.99, 25.5, 5)

    def test_a_product_that_is_sent_again_is_added_once(self, client, admin):
        headers = {**admin, "Idempotency-Key": "the-lamp"}

        answers = [client.post("/products", headers=headers, json=NEW) for _ in range(2)]

        assert answers[0].json == answers[1].json
        assert client.get("/products").json == [answers[0].json]

    def test_a_product_without_a_picture_gets_one_that_works(self, client, add):
        assert client.get(add()["image_url"], buffered=True).status_code == 200

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "x" * 121),
            ("name", None),
            ("description", "x" * 2001),
            ("price", -1),
            ("price", 1.999),
            ("price", "cheap"),
            ("price", 10**12),
            ("old_price", 19.99),
            ("old_price", 10),
            ("category", "Not A Slug"),
            ("category", ""),
            ("stock", -1),
            ("stock", 1.5),
            ("stock", True),
            ("stock", 10**9),
            ("image_url", "javascript:alert(1)"),
            ("image_url", "//elsewhere.example/x.svg"),
            ("image_url", "/with space"),
            ("rating", 5),
        ],
    )
    def test_a_field_that_does_not_validate_is_named(self, client, admin, field, value):
        response = client.post("/products", headers=admin, json={**NEW, field: value})

        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [field]


class TestChanging:
    def test_what_is_not_sent_stays(self, client, add, admin):
        product = add(old_price=30)

        response = client.put(f"/products/{product['id']}", headers=admin, json={"name": "Sun", "price": 25})

        assert response.status_code == 200
        assert response.json == {**product, "name": "Sun", "price": 25.0}

    def test_a_new_name_is_found_at_once(self, client, add, admin):
        product = add()
        client.put(f"/products/{product['id']}", headers=admin, json={"name": "Sun"})

        assert [each["name"] for each in client.get("/search?q=SUN").json] == ["Sun"]
        assert client.get("/search?q=lamp").json == []

    def test_a_reduction_ends_with_a_null(self, client, add, admin):
        product = add(old_price=30)

        changed = client.put(f"/products/{product['id']}", headers=admin, json={"old_price": None})

        assert changed.json["old_price"] is None

    @pytest.mark.parametrize("change", [{"price": 30}, {"old_price": 20}, {"price": 40, "old_price": 35}])
    def test_the_old_price_stays_above_the_price(self, client, add, admin, change):
        product = add(price=20, old_price=30)

        response = client.put(f"/products/{product['id']}", headers=admin, json=change)

        assert (response.status_code, response.json["errors"][0]["field"]) == (422, "old_price")
        assert client.get(f"/products/{product['id']}").json == product

    @pytest.mark.parametrize("field", ["name", "description", "price", "category", "stock", "image_url"])
    def test_what_a_product_must_have_cannot_be_taken_away(self, client, add, admin, field):
        response = client.put(f"/products/{add()['id']}", headers=admin, json={field: None})

        assert (response.status_code, response.json["errors"][0]["field"]) == (422, field)

    def test_an_empty_change_changes_nothing(self, client, add, admin):
        product = add()

        assert client.put(f"/products/{product['id']}", headers=admin, json={}).json == product

    def test_a_product_that_does_not_exist_is_a_404(self, client, admin):
        assert client.put("/products/1", headers=admin, json={}).status_code == 404


class TestRemoving:
    def test_a_removed_product_is_gone_from_everywhere(self, client, add, admin, alice):
        gone, left = add(category="old"), add(category="light")
        client.post("/favorites", headers=alice, json={"product_id": gone["id"]})

        response = client.delete(f"/products/{gone['id']}", headers=admin)

        assert (response.status_code, response.data) == (204, b"")
        for path in ["/products", "/search?q=lamp", f"/products?ids={gone['id']},{left['id']}"]:
            assert client.get(path).json == [left]
        assert client.get("/favorites", headers=alice).json == []
        assert client.get("/categories").json == [{"name": "light", "product_count": 1}]
        assert client.get("/categories/old").status_code == 404

    def test_a_removed_product_is_a_404_for_whatever_one_tries(self, client, add, admin, alice):
        path = f"/products/{add()['id']}"
        client.delete(path, headers=admin)

        assert client.get(path).status_code == 404
        assert client.get(f"{path}/reviews").status_code == 404
        assert client.post(f"{path}/reviews", headers=alice, json={"rating": 5}).status_code == 404
        assert client.post("/favorites", headers=alice, json={"product_id": 1}).status_code == 404
        assert client.put(path, headers=admin, json={"stock": 1}).status_code == 404
        assert client.delete(path, headers=admin).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/products"), ("PUT", "/products/1"), ("DELETE", "/products/1")])
def test_only_administrators_write_products(seeded, client, alice, support, service, method, path):
    body = {"json": NEW} if method != "DELETE" else {}

    assert client.open(path, method=method, **body).status_code == 401
    for somebody in (alice, support, service):
        assert client.open(path, method=method, headers=somebody, **body).status_code == 403


class TestPictures:
    def test_every_product_has_a_picture_that_works_without_the_internet(self, seeded, client):
        for product in client.get("/products").json:
            picture = client.get(product["image_url"], buffered=True)

            assert picture.status_code == 200
            assert picture.mimetype == "image/svg+xml"
            assert picture.data.startswith(b"<svg ")
            assert len(picture.data) < 2048

    def test_a_picture_is_kept_by_browsers_and_can_do_nothing(self, client):
        picture = client.get("/images/desk-lamp.svg", buffered=True)

        assert picture.headers["Cache-Control"] == "public, max-age=86400"
        assert picture.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        assert picture.headers["X-Content-Type-Options"] == "nosniff"

    def test_a_picture_that_has_not_changed_is_not_sent_again(self, client):
        etag = client.get("/images/desk-lamp.svg", buffered=True).headers["ETag"]

        again = client.get("/images/desk-lamp.svg", headers={"If-None-Match": etag}, buffered=True)

        assert (again.status_code, again.data) == (304, b"")

    @pytest.mark.parametrize(
        "path", ["none.svg", "../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "..%5capp.py", "%2fetc%2fpasswd", "a%00b"]
    )
    def test_nothing_but_the_pictures_is_served(self, client, path):
        response = client.get(f"/images/{path}")

        assert (response.status_code, response.mimetype) == (404, "application/problem+json")


def test_the_api_document_names_arrays_and_roles(client):
    paths = client.get("/openapi.json").json["paths"]

    assert "security" not in paths["/products"]["get"]
    assert paths["/products"]["post"]["security"] == [{"bearer": []}]
    assert paths["/products"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("s")
    assert "image/svg+xml" in paths["/images/{file}"]["get"]["responses"]["200"]["content"]


def test_the_service_is_ready_with_its_database_and_the_auth_service(app, client, network):
    network.on("GET", "/health/live", {"status": "ok"})
    with app.app_context():
        db.drop_all()
        migrate.to_newest(app)

    assert client.get("/health").json["checks"] == {"auth-service": "ok", "database": "ok"}


class TestSeed:
    def test_seeding_twice_changes_nothing(self, seeded, client):
        import seed

        before = client.get("/products").json
        with seeded.app_context():
            seed.seed()

        assert client.get("/products").json == before

    def test_the_demonstration_has_what_the_others_speak_of(self, seeded, client, alice, bob):
        products = client.get("/products").json
        stocks = [each["stock"] for each in products]

        assert [each["id"] for each in products] == list(range(1, 25))
        assert (stocks[0], 0 in stocks, 3 in stocks) == (120, True, True)
        assert len(client.get("/categories").json) == 6
        assert "alice" not in [each["username"] for each in client.get("/products/1/reviews").json]
        assert len(client.get("/favorites", headers=alice).json) == 2
        assert len(client.get("/favorites", headers=bob).json) == 1
