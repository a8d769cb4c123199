import pytest

from shopkit import errors


def test_an_error_is_a_problem_with_everything_a_client_may_need(client):
    response = client.get("/fail/conflict", headers={"X-Request-ID": "request-0001"})

    assert response.status_code == 409
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "It is taken.",
        "code": "taken",
        "request_id": "request-0001",
        "error": "It is taken.",
        "by": "bob",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/nowhere", 404, "not_found"),
        ("put", "/count", 405, "method_not_allowed"),
        ("get", "/fail/payment", 402, "payment_required"),
        ("get", "/fail/database", 503, "unavailable"),
    ],
)
def test_whatever_fails_answers_in_the_same_shape(client, method, path, status, code):
    response = getattr(client, method)(path)

    assert (response.status_code, response.json["status"], response.json["code"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json["error"] == response.json["detail"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bug", "Exception on /fail/bug"),
        ("database", "the database does not work"),
        ("upstream", "upstream_failed: The partner-service is not available."),
    ],
)
def test_what_was_not_the_clients_fault_is_logged_as_an_error(app, client, kind, words, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False

    assert client.get(f"/fail/{kind}").status_code >= 500
    assert [words in each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [True]


@pytest.mark.parametrize("kind", ["conflict", "payment"])
def test_what_was_the_clients_fault_is_no_error_of_ours(client, kind, caplog):
    client.get(f"/fail/{kind}")

    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_405_says_what_is_allowed(client):
    assert "POST" in client.put("/count").headers["Allow"]


def test_a_503_says_when_to_come_back(client):
    assert client.get("/fail/database").headers["Retry-After"] == "5"


@pytest.mark.parametrize("kind", ["bug", "database"])
def test_no_detail_of_our_own_faults_gets_out(app, client, kind, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False

    response = client.get(f"/fail/{kind}")

    assert response.status_code in (500, 503)
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_every_error_of_the_tree_stands_in_its_drawing():
    kinds = [each for each in errors.ShopError.__subclasses__() if each.__module__ == errors.__name__]

    assert kinds
    for kind in kinds:
        assert any(kind.__name__ in line and str(int(kind.status)) in line for line in errors.__doc__.splitlines())


def test_of_many_wrong_fields_some_are_named_and_all_are_counted(client, alice):
    fields = {f"field {number}": 1 for number in range(1000)}

    response = client.post("/notes", json={"text": "x", **fields}, headers=alice)

    assert response.status_code == 422
    assert [each["field"] for each in response.json["errors"]] == list(fields)[:20]
    assert response.json["detail"].endswith("and 980 more")


@pytest.mark.parametrize("letters", [1000, 100_000, 1_000_000])
def test_no_answer_repeats_what_is_long(client, alice, letters):
    body = {"text": "x", **{f"{number}{'x' * (letters // 30)}": "y" * (letters // 30) for number in range(30)}}
    long = "z" * min(letters, 8000)

    answers = [
        client.post("/notes", json=body, headers=alice),
        client.get(f"/numbers?{long}=1&{long}=2&first={long}"[:8000]),
        client.get(f"/fail/{long}/nowhere"),
        client.post("/notes", json={"text": "x", "worth": long, "product_id": long}, headers=alice),
    ]

    assert max(len(each.data) for each in answers) < 10_000
