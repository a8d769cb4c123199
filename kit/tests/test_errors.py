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
    kinds = errors.ShopError.__subclasses__()

    assert kinds
    for kind in kinds:
        assert any(kind.__name__ in line and str(int(kind.status)) in line for line in errors.__doc__.splitlines())
