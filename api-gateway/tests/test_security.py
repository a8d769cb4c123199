from importlib import import_module

import pytest

from settings import Settings
from shopkit.testing import Network

HARDENED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@pytest.fixture
def client_behind(network):
    """A client of the gateway with so many proxies in between."""
    network.on("GET", "/cart", {"items": []})

    def build(proxies):
        environ = {"SECRET_KEY": "x", "TRUSTED_PROXIES": str(proxies), "RATE_LIMIT": "1/hour burst 1"}
        settings = Settings.from_env(environ)
        return import_module("app").create_app(settings, network).test_client()

    return build


@pytest.mark.parametrize("path", ["/cart", "/health/live", "/nothing-here"])
def test_every_answer_tells_browsers_what_to_refuse(client, network, path):
    network.on("GET", "/cart", {"items": []})

    headers = client.get(path).headers

    assert {name: headers.getlist(name) for name in HARDENED} == {name: [text] for name, text in HARDENED.items()}
    assert "Strict-Transport-Security" not in headers


def test_a_service_that_says_it_itself_is_believed(client, network):
    answer = Network.send

    def send(request, *args, **kwargs):
        response = answer(network, request, *args, **kwargs)
        response.raw.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    network.on("GET", "/cart", {})
    network.send = send

    assert client.get("/cart").headers.getlist("Content-Security-Policy") == ["default-src 'self'"]


@pytest.mark.parametrize(
    ("proxies", "sent", "address"),
    [
        (0, "6.6.6.6", "127.0.0.1"),
        (1, "6.6.6.6, 8.8.8.8", "8.8.8.8"),
        (2, "6.6.6.6, 8.8.8.8, 10.0.0.1", "8.8.8.8"),
        (2, "8.8.8.8", "127.0.0.1"),
        (1, None, "127.0.0.1"),
    ],
)
def test_the_client_is_whom_the_outermost_trusted_proxy_saw(client_behind, network, proxies, sent, address):
    client_behind(proxies).get("/cart", headers={"X-Forwarded-For": sent} if sent else {})

    assert network.requests[0].headers["X-Forwarded-For"] == address


def test_what_trusted_proxies_say_of_the_outside_goes_on_to_the_service(client_behind, network):
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example.com", "X-Forwarded-For": "8.8.8.8"}

    response = client_behind(1).get("/cart", headers=forwarded)

    assert forwarded.items() <= dict(network.requests[0].headers).items()
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_behind_a_trusted_proxy_each_client_has_limits_of_its_own(client_behind):
    client = client_behind(1)

    statuses = [client.get("/cart", headers={"X-Forwarded-For": who}).status_code for who in ("1.1.1.1", "2.2.2.2")]

    assert statuses == [200, 200]
    assert client.get("/cart", headers={"X-Forwarded-For": "1.1.1.1"}).status_code == 429


def test_without_trusted_proxies_nobody_gets_around_the_limit_by_naming_another_address(client_behind):
    client = client_behind(0)

    statuses = [client.get("/cart", headers={"X-Forwarded-For": who}).status_code for who in ("1.1.1.1", "2.2.2.2")]

    assert statuses == [200, 429]


def test_a_refusal_says_when_to_come_again_and_shows_the_limit(client_behind):
    client = client_behind(0)
    first = client.get("/cart")

    refusal = client.get("/cart")

    assert first.headers["RateLimit-Policy"] == refusal.headers["RateLimit-Policy"] == '"requests";q=1;w=3600'
    assert first.headers["RateLimit"].startswith('"requests";r=0;t=')
    assert (refusal.status_code, refusal.json["code"]) == (429, "too_many_requests")
    assert 3590 < int(refusal.headers["Retry-After"]) <= 3600


def test_a_preflight_takes_nothing_from_the_requests_of_its_address(client_behind):
    client = client_behind(0)
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}

    for _ in range(3):
        assert client.options("/cart", headers=preflight).status_code == 204
    assert client.get("/cart").status_code == 200


@pytest.mark.parametrize(
    ("scheme", "means"), [("wss", "https"), ("HTTPS", "https"), ("ws", "http"), ("gopher", "http")]
)
def test_a_trusted_proxy_may_call_the_scheme_what_it_likes(client_behind, network, scheme, means):
    response = client_behind(1).get("/cart", headers={"X-Forwarded-Proto": scheme})

    assert response.status_code == 200
    assert network.requests[0].headers["X-Forwarded-Proto"] == means


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("unknown", "unknown"),
    ],
)
def test_a_trusted_proxy_may_spell_addresses_as_it_likes(client_behind, network, sent, address):
    client = client_behind(1)

    assert client.get("/health/live", headers={"X-Forwarded-For": sent}).status_code == 200
    assert client.get("/cart", headers={"X-Forwarded-For": sent}).status_code == 200
    assert network.requests[0].headers["X-Forwarded-For"] == address


def test_a_port_does_not_make_another_client(client_behind):
    client = client_behind(1)

    statuses = [client.get("/cart", headers={"X-Forwarded-For": f"192.0.2.1:{port}"}).status_code for port in (1, 2)]

    assert statuses == [200, 429]


def test_metrics_tell_what_is_going_on_at_the_gateway(client_behind):
    client = client_behind(0)
    for _ in range(2):
        client.get("/cart")

    text = client.get("/metrics").text

    assert 'gateway_rate_limit_decisions_total{decision="allowed",policy="requests"} 1.0' in text
    assert 'gateway_rate_limit_decisions_total{decision="refused",policy="requests"} 1.0' in text
    assert 'gateway_requests_in_flight{service="cart-service",url="http://127.0.0.1:5004"} 0.0' in text
    assert 'gateway_breaker_state{service="cart-service",url="http://127.0.0.1:5004"} 0.0' in text
    assert 'http_requests_total{method="GET",rule="/cart",status="429"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="GET",rule="/cart"} 2.0' in text
    assert 'gateway_retries_total{service="cart-service"} 0.0' in text
    assert "gateway_open_sockets 0.0" in text
