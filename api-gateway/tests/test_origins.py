import pytest

SHOP = "https://shop.example.com"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


@pytest.fixture(autouse=True)
def _services(network):
    network.on("GET", "/cart", {"items": []})
    network.on("GET", "/socket.io/", {"message": "no socket today"}, 400)


def test_the_shops_pages_may_read_answers_and_some_of_their_headers(client):
    headers = client.get("/cart", headers={"Origin": SHOP}).headers

    assert headers.getlist("Access-Control-Allow-Origin") == [SHOP]
    assert set(headers["Access-Control-Expose-Headers"].split(", ")) == {
        *("X-Total-Count", "Link", "X-Request-ID", "Location", "Idempotent-Replayed"),
        *("Retry-After", "RateLimit", "RateLimit-Policy"),
    }
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("path", ["/cart", "/unknown", "/"])
@pytest.mark.parametrize("origin", [None, "https://evil.example.com", "https://shop.example.com.evil.com", "null"])
def test_others_get_no_permission_and_caches_know_it_depends(client, origin, path):
    headers = client.get(path, headers={"Origin": origin} if origin else {}).headers

    assert not [name for name, _ in headers if name.lower().startswith("access-control")]
    assert "Origin" in headers["Vary"]


@pytest.mark.parametrize("path", ["/cart/items", "/unknown"])
def test_a_preflight_is_answered_here(client, network, path):
    response = client.options(
        path,
        headers={
            "Origin": SHOP,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-request-id,x-other",
        },
    )

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert "PUT" in response.headers["Access-Control-Allow-Methods"]
    assert set(response.headers["Access-Control-Allow-Headers"].split(", ")) == {
        *("authorization", "content-type", "idempotency-key", "x-request-id")
    }
    assert network.calls == []


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
def test_a_websocket_is_for_our_own_pages(client, network, origin, status):
    response = client.get("/socket.io/", headers={**UPGRADE, **({"Origin": origin} if origin else {})})

    assert response.status_code == status
    assert len(network.calls) == (status == 400)
