import pytest
import sqlalchemy as sa


@pytest.fixture(autouse=True)
def products(add):
    return [add(name=name) for name in ("Lamp", "Bowl", "Desk")]


def test_a_new_favorite_answers_the_product(client, alice, products):
    response = client.post("/favorites", headers=alice, json={"product_id": 2})

    assert (response.status_code, response.json) == (201, products[1])


def test_what_is_a_favorite_already_is_a_200(client, alice, products):
    client.post("/favorites", headers=alice, json={"product_id": 2})

    response = client.post("/favorites", headers=alice, json={"product_id": 2})

    assert (response.status_code, response.json) == (200, products[1])
    assert client.get("/favorites", headers=alice).json == [products[1]]


def test_favorites_are_listed_newest_first_in_pages(client, alice, products):
    for product_id in (2, 3, 1):
        client.post("/favorites", headers=alice, json={"product_id": product_id})

    response = client.get("/favorites?per_page=2", headers=alice)

    assert response.json == [products[0], products[2]]
    assert response.headers["X-Total-Count"] == "3"


def test_everybody_has_favorites_of_their_own(client, alice, bob):
    client.post("/favorites", headers=alice, json={"product_id": 1})

    assert client.get("/favorites", headers=bob).json == []
    assert client.delete("/favorites/1", headers=bob).status_code == 404
    assert len(client.get("/favorites", headers=alice).json) == 1


def test_a_favorite_is_removed_once(client, alice):
    client.post("/favorites", headers=alice, json={"product_id": 1})

    removed = client.delete("/favorites/1", headers=alice)

    assert (removed.status_code, removed.data) == (204, b"")
    assert client.get("/favorites", headers=alice).json == []
    assert client.delete("/favorites/1", headers=alice).status_code == 404


def test_a_product_that_does_not_exist_is_a_404(client, alice):
    assert client.post("/favorites", headers=alice, json={"product_id": 9}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"product_id": 0}, {"product_id": "lamp"}, {"product_id": 2**31}])
def test_a_field_that_does_not_validate_is_named(client, alice, body):
    response = client.post("/favorites", headers=alice, json=body)

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "product_id")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/favorites"), ("POST", "/favorites"), ("DELETE", "/favorites/1")]
)
def test_favorites_are_for_people_who_are_signed_in(client, service, method, path):
    assert client.open(path, method=method, json={"product_id": 1}).status_code == 401
    assert client.open(path, method=method, json={"product_id": 1}, headers=service).status_code == 403


def test_the_same_favorite_twice_at_once_is_one(client, at_once, alice):
    statuses = at_once(
        4, lambda client, _: client.post("/favorites", headers=alice, json={"product_id": 1}).status_code
    )

    assert sorted(statuses) == [200, 200, 200, 201]
    assert len(client.get("/favorites", headers=alice).json) == 1


def test_the_id_of_a_favorite_that_is_none_any_longer_is_not_given_again(app, client, alice):
    from favorites.models import Favorite
    from models import db

    def newest():
        client.post("/favorites", headers=alice, json={"product_id": 2})
        with app.app_context():
            return db.session.scalar(sa.select(sa.func.max(Favorite.id)))

    removed = newest()
    client.delete("/favorites/2", headers=alice)

    assert newest() > removed


class TestMany:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        from favorites import routes

        monkeypatch.setattr(routes, "MOST", 2)

    def test_a_full_list_takes_what_is_on_it_already_and_nothing_else(self, client, alice, bob):
        answers = [client.post("/favorites", headers=alice, json={"product_id": n}) for n in (1, 2, 3, 2)]

        assert [each.status_code for each in answers] == [201, 201, 409, 200]
        assert answers[2].json["code"] == "list_full"
        assert client.post("/favorites", headers=bob, json={"product_id": 3}).status_code == 201
        client.delete("/favorites/1", headers=alice)
        assert client.post("/favorites", headers=alice, json={"product_id": 3}).status_code == 201

    def test_of_several_at_once_no_more_get_in(self, client, alice, at_once):
        codes = at_once(
            6, lambda client, n: client.post("/favorites", headers=alice, json={"product_id": n % 3 + 1}).status_code
        )

        assert len(client.get("/favorites", headers=alice).json) == 2
        assert codes.count(201) == 2
        assert set(codes) <= {200, 201, 409}
