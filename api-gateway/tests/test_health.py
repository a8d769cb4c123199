import time

import pytest
import requests

from pages import health
from routing import SERVICES


@pytest.mark.parametrize("path", ["/health/live", "/api/health/live"])
def test_it_is_alive_whatever_the_services_do(client, path):
    assert client.get(path).json == {"status": "ok", "service": "api-gateway"}


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/api/health"])
def test_it_is_ready_when_all_services_are(client, network, path):
    network.on("GET", "/health/ready", {"status": "ok"})

    response = client.get(path)

    assert (response.status_code, response.json["status"]) == (200, "ok")
    assert response.json["services"] == dict.fromkeys(SERVICES, "ok")


def test_who_asks_often_does_not_have_the_services_asked_as_often(client, network):
    network.on("GET", "/health/ready", {"status": "ok"})

    for _ in range(10):
        client.get("/health")

    assert len(network.calls) <= 2 * len(SERVICES)


def test_it_names_the_services_that_are_away(client, network):
    def only_carts_are_away(request):
        if ":5004" in request.url:
            raise requests.ConnectionError
        return 200, {"status": "ok"}

    network.on("GET", "/health/ready", answer=only_carts_are_away)

    response = client.get("/health")

    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert response.json["services"] == {**dict.fromkeys(SERVICES, "ok"), "cart-service": "away"}
    assert "127.0.0.1" not in response.text


def test_it_is_ready_as_long_as_some_service_is(client, network):
    network.on("GET", "/health/ready", answer=lambda request: (200 if ":5004" in request.url else 503, {}))

    response = client.get("/health/ready")

    assert (response.status_code, response.json["status"]) == (200, "degraded")
    assert response.json["services"] == {**dict.fromkeys(SERVICES, "away"), "cart-service": "ok"}


def test_without_any_service_it_is_not_ready(client, network):
    network.on("GET", "/health/ready", {}, 503)

    assert client.get("/health/ready").status_code == 503


@pytest.mark.parametrize("environ", [{"CART_SERVICE_URL": "http://a:1,http://b:1"}])
def test_one_instance_that_is_away_degrades_the_service_and_no_more(client, network):
    network.on("GET", "/health/ready", answer=lambda request: (503 if "//a:1" in request.url else 200, {}))

    response = client.get("/health")

    assert (response.status_code, response.json["status"]) == (200, "degraded")
    assert response.json["services"]["cart-service"] == "ok"


def test_it_says_how_long_each_took(client, network):
    network.on("GET", "/health/ready", answer=lambda request: (503 if ":5004" in request.url else 200, {}))

    milliseconds = client.get("/health").json["milliseconds"]

    assert milliseconds.pop("cart-service") is None
    assert all(each > 0 for each in milliseconds.values())


def test_a_service_that_is_not_ready_counts_as_away(client, network):
    network.on("GET", "/health/ready", {"detail": "no database"}, 503)

    assert client.get("/health").json["services"]["auth-service"] == "away"


def test_slow_services_are_asked_at_once_and_not_waited_for(client, network, monkeypatch):
    monkeypatch.setattr(health, "SECONDS", 0.1)
    network.on("GET", "/health/ready", answer=lambda _: time.sleep(0.3) or (200, {}))

    begin = time.monotonic()
    response = client.get("/health")

    assert response.status_code == 503
    assert time.monotonic() - begin < 0.3


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "::1"])
def test_metrics_are_for_machines_nearby(client, address):
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize(
    ("path", "address", "headers"),
    [
        ("/metrics", "8.8.8.8", {}),
        ("/metrics/", "8.8.8.8", {}),
        ("/metrics", "2001:4860:4860::8888", {}),
        ("/metrics", "127.0.0.1", {"X-Forwarded-For": "8.8.8.8"}),
        ("/api/metrics", "127.0.0.1", {}),
    ],
)
def test_metrics_do_not_exist_for_others(client, path, address, headers):
    assert client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": address}).status_code == 404
