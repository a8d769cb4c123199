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
        "first": "/notes?page=1&per_page=2",
        "prev": "/notes?page=1&per_page=2",
        "next": "/notes?page=3&per_page=2",
        "last": "/notes?page=3&per_page=2",
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


def test_links_are_absolute_when_the_gateway_says_what_the_shop_is_called(client, five_notes):
    outside = {"X-Public-Url": "https://shop.example/our", "X-Forwarded-Prefix": "/api"}

    response = client.get("/notes?page=1&per_page=2", headers=outside)

    assert _links(response)["next"] == "https://shop.example/our/api/notes?page=2&per_page=2"


def test_links_keep_the_prefix_that_the_gateway_took_away(client):
    response = client.get("/notes", headers={"X-Forwarded-Prefix": "/api"})

    assert _links(response)["first"] == "/api/notes?page=1&per_page=50"


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host"])
def test_a_host_that_somebody_made_up_is_not_in_the_links(client, name):
    response = client.get("/notes", headers={name: "evil.example"})

    assert "evil" not in str(response.headers)
    assert _links(response)["first"] == "/notes?page=1&per_page=50"
