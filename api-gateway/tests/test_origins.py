import pytest

SHOP = "https://shop.example.com"


@pytest.fixture(autouse=True)
def _services(network):
    network.on("GET", "/cart", {"items": []})
    network.on("GET", "/socket.io/", {"message": "no socket today"}, 400)
    network.on("GET", "/openapi.json", {"openapi": "3.1.0", "paths": {}})


def _said(answer):
    """What an answer tells browsers of other origins."""
    return {name: text for name, text in answer.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("path", ["/cart", "/api/cart", "/", "/health/live", "/openapi.json"])
def test_the_shops_pages_may_send_credentials_and_read_answers_and_some_of_their_headers(client, path):
    answer = client.get(path, headers={"Origin": SHOP})

    said = _said(answer)
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [SHOP]
    assert said["Access-Control-Allow-Credentials"] == "true"
    assert set(said["Access-Control-Expose-Headers"].split(", ")) == {
        *("X-Total-Count", "Link", "ETag", "Location", "X-Request-ID", "X-Corrected-To", "Idempotent-Replayed"),
        *("Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"),
    }
    assert said.keys() == {f"Access-Control-{each}" for each in ("Allow-Origin", "Allow-Credentials", "Expose-Headers")}


@pytest.mark.parametrize("environ", [{}, {"CORS_ORIGINS": "https://other.example.com"}])
def test_pages_on_this_machine_are_welcome_unless_others_are_named(client, environ):
    for host in ("localhost", "127.0.0.1"):
        for port in (3000, 5173):
            said = _said(client.get("/cart", headers={"Origin": f"http://{host}:{port}"}))
            assert said.get("Access-Control-Allow-Credentials") == (None if environ else "true")
    assert not _said(client.get("/cart", headers={"Origin": "http://localhost:8080"}))


@pytest.mark.parametrize("environ", [{"CORS_ORIGINS": "*"}])
def test_when_everybody_is_welcome_only_those_who_are_named_may_send_credentials(client):
    stranger = _said(client.get("/cart", headers={"Origin": "https://stranger.example"}))

    assert stranger["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in stranger
    assert _said(client.get("/cart", headers={"Origin": SHOP}))["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize("environ", [{"RATE_LIMIT": "1/hour burst 1", "MAX_BODY_BYTES": "10"}])
@pytest.mark.parametrize(
    ("status", "path", "request_"),
    [
        (404, "/unknown", {}),
        (404, "/api/validate", {}),
        (404, "/cart/../cart", {}),
        (405, "/health/live", {"method": "POST"}),
        (405, "/cart", {"method": "PROPFIND"}),
        (413, "/cart", {"method": "POST", "data": b"more than ten"}),
        (429, "/cart", {}),
        (502, "/orders", {}),
    ],
)
def test_an_error_of_the_gateway_itself_can_be_read_like_any_answer(client, network, status, path, request_):
    network.down("GET", "/orders")
    if status == 429:
        client.get("/cart")

    answer = client.open(path, headers={"Origin": SHOP}, **request_)

    assert (answer.status_code, answer.json["status"]) == (status, status)
    assert _said(answer).items() >= {
        *{"Access-Control-Allow-Origin": SHOP, "Access-Control-Allow-Credentials": "true"}.items()
    }


@pytest.mark.parametrize("path", ["/cart", "/unknown", "/"])
@pytest.mark.parametrize("origin", [None, "https://evil.example.com", "https://shop.example.com.evil.com", "null"])
def test_others_get_no_permission_and_caches_know_it_depends(client, origin, path):
    headers = client.get(path, headers={"Origin": origin} if origin else {}).headers

    assert not [name for name, _ in headers if name.lower().startswith("access-control")]
    assert "Origin" in headers["Vary"]


@pytest.mark.parametrize("path", ["/cart/items", "/unknown", "/", "/api/validate", "/products/1?a=1&a=2"])
def test_a_preflight_is_answered_here_and_allows_whatever_header_is_asked_for(client, network, path):
    response = client.options(
        path,
        headers={
            "Origin": SHOP,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,if-match,x-anything-else",
        },
    )

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"PUT", "PATCH", "DELETE"} < set(response.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = set(response.headers["Access-Control-Allow-Headers"].split(", "))
    assert allowed == {"authorization", "if-match", "x-anything-else"}
    assert network.calls == []


@pytest.mark.parametrize("path", ["/cart/items", "/unknown"])
def test_a_preflight_of_a_stranger_allows_nothing(client, path):
    wants = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}

    assert not _said(client.options(path, headers={"Origin": "https://evil.example", **wants}))


def test_other_options_are_the_services_business(client, network):
    network.on("OPTIONS", "/cart", None, 204)

    assert client.options("/cart").status_code == 204
    assert network.calls == [("OPTIONS", "/cart")]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 400),
        (SHOP, 400),
        ("http://localhost", 400),
        ("https://evil.example.com", 403),
        ("https://localhost.evil.com", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_a_websocket_is_for_our_own_pages(client, network, origin, status, upgrade):
    response = client.get("/socket.io/", headers={**upgrade, **({"Origin": origin} if origin else {})})

    assert response.status_code == status
    assert len(network.calls) == (status == 400)
