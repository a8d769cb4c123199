from importlib import import_module

import pytest
import requests
from flask import Flask, request

from shopkit.testing import Wiring

UP_TO_100_KB = pytest.mark.parametrize("environ", [{"MAX_BODY_BYTES": "100000"}])


@pytest.fixture
def echo(settings):
    """The gateway before a cart service that says what it was asked."""
    cart = Flask("cart", root_path="/")

    @cart.route("/<path:path>", methods=["GET", "POST", "PUT"])
    def show(path):
        return {
            "path": request.full_path,
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers},
            "body": request.get_data(as_text=True),
        }

    wiring = Wiring()
    wiring.apps[5004] = cart
    return import_module("app").create_app(settings, wiring).test_client()


def test_a_request_reaches_the_service_and_its_answer_comes_back(client, network):
    network.on("POST", "/cart/items", {"id": 1}, 201)

    response = client.post("/api/cart/items", json={"product_id": 1})

    assert (response.status_code, response.json) == (201, {"id": 1})
    assert network.sent("POST", "/cart/items") == [{"product_id": 1}]


@pytest.mark.parametrize("path", ["/login", "/auth/login", "/api/login", "/api/auth/login"])
def test_all_ways_to_the_auth_service_are_one(client, network, path):
    network.on("POST", "/login", {"access_token": "t"})

    assert client.post(path, json={}).json == {"access_token": "t"}


@pytest.mark.parametrize("status", [404, 409, 500, 503])
def test_the_error_of_a_service_comes_back_as_it_is(client, network, status):
    network.on("GET", "/orders/1", {"detail": "as the service says it"}, status)

    response = client.get("/orders/1")

    assert (response.status_code, response.json) == (status, {"detail": "as the service says it"})


@pytest.mark.parametrize("path", ["/cartoon", "/validate", "/auth/token", "/api/internal/stock", "/api/api/cart"])
def test_what_has_no_way_is_a_404_problem(client, path):
    response = client.get(path)

    assert (response.status_code, response.mimetype) == (404, "application/problem+json")
    assert response.json["code"] == "not_found"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (requests.ConnectionError, 502, "The cart service is not available."),
        (requests.ConnectTimeout, 504, "The cart service did not answer in time."),
        (requests.ReadTimeout, 504, "The cart service did not answer in time."),
    ],
)
def test_a_service_that_is_away_or_slow_is_said_by_its_name_alone(client, network, error, status, words):
    network.down("POST", "/cart/items", error)

    response = client.post("/cart/items", json={})

    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert response.json["error"] == words
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    ("method", "body", "attempts"),
    [
        ("GET", None, 2),
        ("HEAD", None, 2),
        ("PUT", b"short", 2),
        ("DELETE", None, 2),
        ("POST", b"short", 1),
        ("PATCH", b"short", 1),
        ("PUT", b"long" * 65536, 1),
    ],
)
def test_only_what_can_safely_be_sent_again_is(client, network, method, body, attempts):
    network.down(method, "/cart")

    client.open("/cart", method=method, data=body)

    assert network.calls == [(method, "/cart")] * attempts


def test_a_slow_answer_is_never_asked_for_again(client, network):
    network.down("GET", "/cart", requests.ReadTimeout)

    client.get("/cart")

    assert len(network.calls) == 1


def test_the_client_is_named_by_the_gateway_whatever_it_says_of_itself(echo):
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Port": "1",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "Host": "shop.example.com:8443",
    }

    headers = echo.get("/api/cart", headers=lies).json["headers"]

    assert {name: value for name, value in headers.items() if "forwarded" in name or "real" in name} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example.com:8443",
        "x-forwarded-prefix": "/api",
    }


def test_headers_of_the_connection_stay_behind_and_all_others_go_on(echo):
    headers = echo.get(
        "/cart",
        headers={
            "Connection": "close, X-Private",
            "X-Private": "1",
            "Keep-Alive": "5",
            "Te": "trailers",
            "Upgrade": "h2c",
            "Proxy-Authorization": "Basic x",
            "Expect": "100-continue",
            "Authorization": "Bearer t",
            "Idempotency-Key": "k",
            "Accept-Language": "de",
        },
    ).json["headers"]

    assert headers.keys() - {"host"} == {
        *("authorization", "idempotency-key", "accept-language", "user-agent"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "x-public-url"),
    }


def test_a_client_cannot_take_away_what_the_gateway_says(echo):
    named = "X-Forwarded-For, X-Request-ID, Content-Length"

    seen = echo.post("/cart", data=b"four", headers={"Connection": named}).json

    assert {"x-forwarded-for", "x-request-id"} <= seen["headers"].keys()
    assert seen["body"] == "four"


@pytest.mark.parametrize(("sent", "kept"), [("a-sane-request-id", True), ("bad id", False), (None, False)])
def test_one_request_id_goes_to_the_service_and_back(echo, sent, kept):
    response = echo.get("/cart", headers={"X-Request-ID": sent} if sent else {})

    assert response.headers["X-Request-ID"] == response.json["headers"]["x-request-id"]
    assert (response.headers["X-Request-ID"] == sent) is kept


def test_a_long_body_arrives_whole(echo):
    assert echo.put("/cart", data="long" * 65536).json["body"] == "long" * 65536


@pytest.mark.parametrize("environ", [{"MAX_SPOOL_BYTES": "100000"}])
def test_large_bodies_have_so_much_disk_together_and_give_it_back(echo):
    sizes = (90_000, 150_000, 90_000, 64_000)

    answers = [echo.put("/cart", data=bytes(size)) for size in sizes]

    assert [each.status_code for each in answers] == [200, 503, 200, 200]
    assert answers[1].json["code"] == "unavailable"
    assert [len(each.json["body"]) for each in answers if each.status_code == 200] == [90_000, 90_000, 64_000]


@UP_TO_100_KB
def test_a_length_above_the_limit_is_refused_before_anything_is_sent(client, network):
    response = client.post("/cart/items", data=bytes(100_001))

    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert network.calls == []


@UP_TO_100_KB
def test_a_body_of_unknown_length_is_read_up_to_the_limit(echo):
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}

    fine = echo.post("/cart", data=bytes(99_000), environ_overrides=chunked)
    too_long = echo.post("/cart", data=bytes(200_000), environ_overrides=chunked)

    assert (fine.status_code, len(fine.json["body"])) == (200, 99_000)
    assert too_long.status_code == 413


def test_a_body_that_ends_early_is_the_clients_mistake(client, network):
    response = client.post("/cart/items", data=b"short", environ_overrides={"CONTENT_LENGTH": "1000"})

    assert response.status_code == 400
    assert network.calls == []


def test_a_body_that_the_server_cannot_read_is_the_clients_mistake(echo):
    class Unreadable:
        def read(self, _):
            raise RuntimeError("not a chunk")

    broken = {"wsgi.input": Unreadable(), "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}

    response = echo.post("/cart", environ_overrides=broken)

    assert (response.status_code, response.json["code"]) == (400, "unreadable_body")


def test_a_method_that_nobody_knows_is_a_405(client):
    response = client.open("/cart", method="PROPFIND")

    assert (response.status_code, response.json["code"]) == (405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


def test_it_says_who_it_is_and_which_services_it_knows(client):
    for path in ("/", "/api", "/api/"):
        response = client.get(path)

        assert (response.status_code, response.json["service"]) == (200, "api-gateway")
        assert response.json["services"]["cart-service"] == ["cart"]


def test_a_websocket_that_the_service_refuses_is_an_ordinary_answer(client, network, upgrade):
    network.on("GET", "/socket.io/", {"message": "no"}, 400)

    response = client.get("/socket.io/", headers=upgrade)

    assert (response.status_code, response.json) == (400, {"message": "no"})
    assert network.requests[0].headers["Connection"] == "Upgrade"


@pytest.mark.parametrize("environ", [{"MAX_SOCKETS": "0"}])
def test_one_socket_too_many_is_refused_for_the_moment(client, upgrade):
    response = client.get("/socket.io/", headers=upgrade)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_polls_that_take_too_long_do_not_keep_others_from_the_service(client, network):
    network.down("GET", "/socket.io/", requests.ReadTimeout)
    network.on("GET", "/tickets", [])

    assert [client.get("/socket.io/?EIO=4&transport=polling&sid=x").status_code for _ in range(8)] == [504] * 8
    assert client.get("/tickets").status_code == 200
