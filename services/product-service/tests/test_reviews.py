import pytest


@pytest.fixture(autouse=True)
def product(add):
    add()


def test_a_customer_reviews_a_product(client, alice):
    response = client.post("/products/1/reviews", headers=alice, json={"rating": 4, "comment": " Bright. "})

    assert response.status_code == 201
    assert response.json == {
        "id": 1,
        "product_id": 1,
        "user_id": 1,
        "username": "alice",
        "rating": 4,
        "comment": "Bright.",
        "verified_purchase": False,
        "created_at": response.json["created_at"],
        "updated_at": response.json["created_at"],
    }
    assert response.json["created_at"].endswith("Z")


def test_the_comment_may_be_called_review_text_or_be_left_out(client, alice, bob):
    called = client.post("/products/1/reviews", headers=alice, json={"rating": 4, "review_text": "Bright."})
    without = client.post("/products/1/reviews", headers=bob, json={"rating": 4})

    assert (called.status_code, called.json["comment"]) == (201, "Bright.")
    assert (without.status_code, without.json["comment"]) == (201, "")


def test_a_second_review_replaces_the_first(client, alice, bob):
    client.post("/products/1/reviews", headers=bob, json={"rating": 3})
    first = client.post("/products/1/reviews", headers=alice, json={"rating": 5, "comment": "Bright."})

    second = client.post("/products/1/reviews", headers=alice, json={"rating": 2, "comment": "Broken."})

    assert second.status_code == 200
    assert (second.json["id"], second.json["created_at"]) == (first.json["id"], first.json["created_at"])
    assert second.json["updated_at"] > first.json["updated_at"]
    assert [each["comment"] for each in client.get("/products/1/reviews").json] == ["Broken.", ""]
    assert client.get("/products/1").json["review_count"] == 2
    assert client.get("/products/1").json["rating"] == 2.5


@pytest.mark.parametrize(("ratings", "shown"), [((5,), 5), ((5, 4), 4.5), ((5, 4, 4), 4.3), ((5, 5, 4), 4.7)])
def test_the_rating_is_the_average_with_at_most_one_decimal(client, alice, bob, support, ratings, shown):
    for somebody, rating in zip((alice, bob, support), ratings, strict=False):
        client.post("/products/1/reviews", headers=somebody, json={"rating": rating})

    assert client.get("/products/1").json["rating"] == shown


def test_reviews_are_read_by_everyone_newest_first_in_pages(client, alice, bob, support):
    for somebody in (alice, bob, support):
        client.post("/products/1/reviews", headers=somebody, json={"rating": 4})

    response = client.get("/products/1/reviews?per_page=2")

    assert [each["username"] for each in response.json] == ["support", "bob"]
    assert response.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rating"),
        ({"rating": 0}, "rating"),
        ({"rating": 6}, "rating"),
        ({"rating": 4.5}, "rating"),
        ({"rating": "5"}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": 5, "comment": "x" * 2001}, "comment"),
        ({"rating": 5, "review_text": 1}, "review_text"),
        ({"rating": 5, "user_id": 2}, "user_id"),
    ],
)
def test_a_field_that_does_not_validate_is_named(client, alice, body, field):
    response = client.post("/products/1/reviews", headers=alice, json=body)

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_one_signs_in_to_review(client):
    assert client.post("/products/1/reviews", json={"rating": 5}).status_code == 401


def test_a_product_that_does_not_exist_has_no_reviews(client, alice):
    assert client.get("/products/2/reviews").status_code == 404
    assert client.post("/products/2/reviews", headers=alice, json={"rating": 5}).status_code == 404


def test_the_same_customer_twice_at_once_writes_one_review(client, at_once, alice):
    def review(client, n):
        return client.post("/products/1/reviews", headers=alice, json={"rating": 1 + n}).status_code

    statuses = at_once(4, review)

    written = client.get("/products/1/reviews").json
    assert sorted(statuses) == [200, 200, 200, 201]
    assert len(written) == 1
    assert client.get("/products/1").json["rating"] == written[0]["rating"]


def test_two_customers_at_once_both_count(client, at_once, alice, bob):
    at_once(2, lambda client, n: client.post("/products/1/reviews", headers=[alice, bob][n], json={"rating": 4 + n}))

    assert client.get("/products/1").json["rating"] == 4.5
    assert client.get("/products/1").json["review_count"] == 2
