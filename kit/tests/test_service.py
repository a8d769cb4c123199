import pytest

from shopkit.schemas import MAX_ID
from shopkit.testing import cpu_seconds


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "unreadable_body"),
        (b"{", "application/json", 400, "unreadable_body"),
        (b"\xff", "application/json", 400, "unreadable_body"),
        (b'{"text": NaN}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\u0000"}', "application/json", 400, "unreadable_body"),
        (b'{"text": ["\\u0000"]}', "application/json", 400, "unreadable_body"),
        (b'{"\\u0000": 1}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\\\\\u0000"}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\\\u0000"}', "application/json", 201, None),
        (b'{"text": "\\u0001"}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\u000B"}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\u001f"}', "application/json", 400, "unreadable_body"),
        (b'{"text": "\\n\\t\\r\\b\\f\\u0009\\u000a\\u000D\\u007f\\u0020"}', "application/json", 201, None),
        (b'{"a":' * 330 + b"1" + b"}" * 330, "application/json", 422, "invalid"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "unreadable_body"),
        (b'{"text": "\\ud800"}', "application/json", 400, "unreadable_body"),
        (b'{"text": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"text": "x"}', "", 415, "unsupported_media_type"),
        (b"[]", "application/json", 422, "invalid"),
        (b"null", "application/json", 422, "invalid"),
        (b'"{\\"text\\": \\"x\\"}"', "application/json", 422, "invalid"),
        (b"{}", "application/json", 422, "invalid"),
        (b'{"text": "x", "role": "admin"}', "application/json", 422, "invalid"),
        (b'{"text": "x"}', "application/json; charset=utf-8", 201, None),
        (b'{"text": "x"}', "application/merge-patch+json", 201, None),
        (b'{"text": "' + b"x" * 1024 * 1024 + b'"}', "application/json", 413, "request_entity_too_large"),
    ],
)
def test_a_body_is_a_json_object_or_refused_with_the_reason(client, alice, body, content_type, status, code):
    response = client.post("/notes", data=body, headers=alice, content_type=content_type)

    assert (response.status_code, response.json.get("code")) == (status, code)


@pytest.mark.parametrize(
    "text",
    [b"\\u0041" * 170_000, b"\\\\u0001" * 140_000, b"\\u0041" + b"\\\\" * 500_000, b"\\u0041" + b"a\\\\" * 340_000],
    ids=["escaped", "as if escaped", "backslashes", "letters and backslashes"],
)
def test_a_body_is_looked_through_for_control_characters_cheaply(client, alice, text):
    body = b'{"other": "%b"}' % text

    def send():
        return client.post("/notes", data=body, headers=alice, content_type="application/json")

    assert send().status_code == 422
    assert cpu_seconds(send, 0.03) < 0.03


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": None}, "text"),
        ({"worth": "cheap"}, "worth"),
        ({"worth": 1.999}, "worth"),
        ({"worth": -1}, "worth"),
        ({"product_id": 0}, "product_id"),
        ({"product_id": True}, "product_id"),
        ({"product_id": "1.0"}, "product_id"),
        ({"product_id": MAX_ID + 1}, "product_id"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_field_that_does_not_validate_is_named(client, alice, change, field):
    response = client.post("/notes", json={"text": "x", **change}, headers=alice)

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]
    assert field in response.json["error"]


@pytest.mark.parametrize("note_id", ["0", str(MAX_ID + 1), "9" * 40, "-1", "one", "1.5"])
def test_a_number_in_a_path_that_is_no_id_is_a_404(client, alice, note_id):
    assert client.get(f"/notes/{note_id}", headers=alice).status_code == 404


@pytest.mark.parametrize("note_id", [str(MAX_ID + 1), "3000000000", "9" * 10, "1" * 100_000, "\u0661"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST", "DELETE"])
def test_a_number_in_a_path_that_no_id_can_be_is_a_404_for_every_method(client, method, note_id):
    assert client.open(f"/notes/{note_id}", method=method).status_code == 404


@pytest.mark.parametrize("note_id", [1, 9, 10, 999_999_999, 1_999_999_999, 2_147_483_640, MAX_ID, "0" * 9 + "1"])
def test_every_number_that_an_id_can_be_is_found_in_a_path(app, note_id):
    _, values = app.url_map.bind("localhost").match(f"/notes/{note_id}")

    assert values == {"note_id": int(note_id)}


def test_a_query_that_no_server_would_let_through_is_not_read(client):
    assert client.get("/numbers", query_string=f"all={',' * 10_000}").status_code == 414


def test_a_nul_character_in_a_query_is_refused(client):
    assert client.get("/notes?page=1%00").status_code == 400


def test_white_space_around_text_is_dropped(client, alice):
    assert client.post("/notes", json={"text": "  x "}, headers=alice).json["text"] == "x"


class TestDescription:
    @pytest.fixture
    def document(self, client):
        return client.get("/openapi.json").json

    def test_it_says_who_may_call_what(self, document):
        paths = document["paths"]

        assert paths["/notes/{note_id}"]["get"]["security"] == [{"bearer": []}]
        assert "security" not in paths["/notes"]["get"]
        assert {"401", "403"} <= paths["/internal/notes"]["post"]["responses"].keys()

    def test_it_says_how_a_call_fails(self, document):
        responses = document["paths"]["/notes/{note_id}"]["get"]["responses"]

        assert responses.keys() == {"200", "401", "403", "404", "422", "default"}
        assert responses["404"]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
        assert "422" not in document["paths"]["/count"]["post"]["responses"]

    def test_it_can_be_read_without_a_token(self, client):
        assert client.get("/openapi.json").json["info"]["title"] == "note-service"


@pytest.mark.parametrize("path", ["//notes", "/notes//", "/notes//1", "/notes/", "//"])
def test_a_host_that_somebody_made_up_is_in_no_answer(client, path):
    answer = client.get("/", headers={"Host": "evil.example"}, environ_overrides={"PATH_INFO": path})

    assert answer.status_code in (200, 404)
    assert "evil" not in f"{answer.headers}{answer.text}"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/notes?page=1&page=2", ["page"]),
        ("/notes?page=1&page=1", ["page"]),
        ("/notes?page=1&page=1&per_page=1&per_page=2", ["page", "per_page"]),
        ("/numbers?all=1&all=2&first=1&first=2", ["first"]),
        ("/fail/bug?anything=1&anything=2", ["anything"]),
    ],
)
def test_a_query_parameter_that_is_given_twice_is_refused(client, path, fields):
    refused = client.get(path)

    assert refused.status_code == 422
    assert [each["field"] for each in refused.json["errors"]] == fields


def test_of_a_list_every_value_counts(client):
    assert client.get("/numbers?all=1&first=3&all=2&more=4&more=5").json["text"] == "3 [1, 2] (4, 5)"


def test_a_path_that_does_not_exist_stays_a_404_whatever_its_query(client):
    assert client.get("/nothing?a=1&a=2").status_code == 404
