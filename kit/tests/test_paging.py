import pytest
from requests.utils import parse_header_links


@pytest.fixture
def five_notes(app, notes_db, client, alice):
    for number in range(5):
        client.post("/notes", json={"text": f"note {number}"}, headers=alice)


def _links(response):
    return {link["rel"]: link["url"] for link in parse_header_links(response.headers["Link"])}


def test_a_collection_is_a_bare_array_with_its_size_and_neighbours(client, five_notes):
    response = client.get("/notes?page=2&per_page=2")

    assert [note["text"] for note in response.json] == ["note 2", "note 3"]
    assert response.headers["X-Total-Count"] == "5"
    assert _links(response) == {
        "first": "http://localhost/notes?page=1&per_page=2",
        "prev": "http://localhost/notes?page=1&per_page=2",
        "next": "http://localhost/notes?page=3&per_page=2",
        "last": "http://localhost/notes?page=3&per_page=2",
    }


def test_the_first_page_has_none_before_and_the_last_none_after_it(client, five_notes):
    assert "prev" not in _links(client.get("/notes?per_page=2"))
    assert "next" not in _links(client.get("/notes?page=3&per_page=2"))


def test_a_page_past_the_end_is_empty(client, five_notes):
    response = client.get("/notes?page=9")

    assert (response.json, response.headers["X-Total-Count"]) == ([], "5")


def test_an_empty_collection_has_one_empty_page(client):
    response = client.get("/notes")

    assert (response.json, response.headers["X-Total-Count"]) == ([], "0")
    assert _links(response).keys() == {"first", "last"}


@pytest.mark.parametrize(
    ("query", "field"),
    [("page=0", "page"), ("page=x", "page"), ("per_page=0", "per_page"), ("per_page=101", "per_page"), ("p=1", "p")],
)
def test_a_query_that_makes_no_sense_names_its_field(client, query, field):
    response = client.get(f"/notes?{query}")

    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == field


def test_links_are_those_of_the_outside_when_a_gateway_stands_before_us(client):
    outside = {"X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/api"}

    response = client.get("/notes", headers=outside)

    assert _links(response)["first"] == "https://shop.example/api/notes?page=1&per_page=50"
