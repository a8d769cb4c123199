"""What an address may ask in all: pages of the gateway, every account, registrations; and who passes on whose it is."""

from contextlib import ExitStack
from importlib import import_module

import pytest

PREFLIGHT = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
HEALTH = ["/health", "/health/live", "/health/ready", "/api/health/live"]


@pytest.fixture
def gateway(network):
    """`gateway(RATE_LIMIT=…)`: a client of a gateway with these settings and no other limits."""
    network.on("GET", "/cart", {"items": []})
    network.on("POST", "/register", {"id": 1}, 201)
    network.on("POST", "/login", {})
    network.on("GET", "/socket.io/", {})
    network.on("GET", "/health/ready", {"status": "ok"})
    network.on("GET", "/openapi.json", {"paths": {}, "components": {"schemas": {}}})

    def gateway(**environ):
        off = {"RATE_LIMIT": "off", "SIGN_IN_RATE_LIMIT": "off", "SIGN_IN_ADDRESS_RATE_LIMIT": "off"}
        fixed = {"SECRET_KEY": "x", "ADDRESS_RATE_LIMIT": "off", "REGISTRATION_RATE_LIMIT": "off"}
        settings = import_module("settings").Settings.from_env({**fixed, **off, **environ})
        return import_module("app").create_app(settings, network).test_client()

    return gateway


def _statuses(client, *paths, **options):
    return [client.get(path, **options).status_code for path in paths]


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/docs.css", "/openapi.json", "/nothing-here", "/docs/nothing"])
def test_the_gateways_own_pages_count_as_requests_of_their_address(gateway, path):
    client = gateway(RATE_LIMIT="1/hour burst 2")

    first, second, refused = (client.get(path) for _ in range(3))

    assert 429 not in (first.status_code, second.status_code)
    assert first.headers["RateLimit"].startswith('"requests";r=1;')
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert client.get("/cart").status_code == 429


def test_requests_with_a_method_that_nobody_knows_count_like_all_others(gateway):
    client = gateway(RATE_LIMIT="1/hour burst 2")

    statuses = [client.open("/cart", method="PROPFIND").status_code for _ in range(3)]

    assert [*statuses, client.get("/cart").status_code] == [405, 405, 429, 429]


def test_a_refused_page_is_an_answer_like_any_other(gateway):
    client = gateway(RATE_LIMIT="1/hour burst 1")
    client.get("/docs")

    refused = client.get("/docs", headers={"Origin": "http://localhost:3000", "X-Request-ID": "mine-0123456789"})

    assert refused.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.headers["X-Request-ID"] == "mine-0123456789"
    metrics = client.get("/metrics").text
    assert 'http_requests_total{method="GET",rule="refused",status="429"} 1.0' in metrics


def test_nobody_is_asked_whose_a_page_is(gateway, network, alice):
    gateway(RATE_LIMIT="1/hour burst 2").get("/nothing-here", headers=alice)

    assert network.calls == []


def test_preflights_count_for_the_address(gateway):
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 2", RATE_LIMIT="1/hour burst 1")

    assert [client.options("/cart", headers=PREFLIGHT).status_code for _ in range(3)] == [204, 204, 429]


@pytest.mark.parametrize("path", [*HEALTH, "/metrics"])
def test_a_load_balancer_hears_how_the_gateway_is_when_its_visitors_are_too_many(gateway, path):
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 1", RATE_LIMIT="1/hour burst 1")

    assert _statuses(client, "/cart", "/cart") == [200, 429]
    assert 429 not in _statuses(client, *[path] * 100)


@pytest.mark.parametrize("path", ["/health/live", "/metrics"])
def test_health_has_a_limit_too(gateway, path, monkeypatch):
    limits = import_module("limits.rate_limits")
    monkeypatch.setattr(limits, "HEALTH_RATE", limits.Rate(0.01, 3))
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 1")

    assert _statuses(client, *[path] * 4) == [200, 200, 200, 429]


def test_an_address_has_one_bucket_over_all_its_accounts_pages_and_handshakes(gateway, alice, bob):
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 5")

    assert client.get("/cart", headers=alice).status_code == 200
    assert client.get("/cart", headers=bob).status_code == 200
    assert client.post("/login", json={"username": "carol"}).status_code == 200
    assert client.get("/docs").status_code == 200
    assert client.get("/socket.io/?transport=websocket", headers={"Upgrade": "websocket"}).status_code != 429
    refused = client.get("/cart", headers=alice)
    assert refused.status_code == 429
    assert refused.headers["RateLimit"].startswith('"address";r=0;')
    assert _statuses(client, "/cart", environ_base={"REMOTE_ADDR": "198.51.100.1"}) == [200]


def test_an_account_whose_bucket_is_empty_takes_nothing_from_its_neighbours(gateway, alice, bob):
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 4", RATE_LIMIT="1/hour burst 1")
    client.get("/nothing-here")  # the anonymous requests of this address; new tokens are paid for by it
    for _ in range(10):
        client.get("/cart", headers=alice)

    assert client.get("/cart", headers=PREFLIGHT).status_code == 429
    assert client.options("/cart", headers=PREFLIGHT).status_code == 204


def test_who_is_over_the_limit_of_the_address_makes_nobody_ask_the_auth_service(gateway, network):
    client = gateway(ADDRESS_RATE_LIMIT="1/hour burst 1", RATE_LIMIT="1/hour burst 100")

    for number in range(5):
        client.get("/cart", headers={"Authorization": f"Bearer made-up-{number}"})

    assert network.calls.count(("POST", "/validate")) == 1


def test_registrations_count_by_address_whatever_their_names(gateway):
    client = gateway(REGISTRATION_RATE_LIMIT="2/day burst 2")

    answers = [client.post("/auth/register", json={"email": f"{number}@example.com"}) for number in range(3)]

    assert [each.status_code for each in answers] == [201, 201, 429]
    assert answers[2].json["detail"].startswith("Too many new accounts")
    assert 43_100 < int(answers[2].headers["Retry-After"]) <= 43_200
    assert client.post("/login", json={"username": "a"}).status_code == 200


class Frontend:
    """An application of the shop at one address that passes on its visitors' requests."""

    def __init__(self, client, name="a-service") -> None:
        self._client = client
        self._name = name

    def __call__(self, forwarded, path="/cart", address="10.0.0.7"):
        headers = {"X-Service-Authorization": f"Bearer {self._name}"}
        if forwarded:
            headers["X-Forwarded-For"] = forwarded
        return self._client.get(path, headers=headers, environ_base={"REMOTE_ADDR": address})


def test_visitors_of_an_application_are_not_one_address(gateway):
    frontend = Frontend(gateway(RATE_LIMIT="1/hour burst 2"))

    statuses = [frontend(visitor).status_code for visitor in ("8.8.8.1", "8.8.8.1", "8.8.8.1", "8.8.8.2")]

    assert statuses == [200, 200, 429, 200]


def test_the_visitor_is_who_the_service_behind_is_told_of_and_the_token_stays_here(gateway, network):
    frontend = Frontend(gateway(RATE_LIMIT="1/hour burst 9"))

    frontend("8.8.8.8")

    sent = network.requests[-1].headers
    assert sent["X-Forwarded-For"] == "8.8.8.8"
    assert "X-Service-Authorization" not in sent


def test_pages_and_new_accounts_count_for_the_visitor_too(gateway):
    client = gateway(RATE_LIMIT="1/hour burst 3", REGISTRATION_RATE_LIMIT="1/day burst 1")
    frontend = Frontend(client)
    frontend("8.8.8.1")

    assert [frontend("8.8.8.2", "/docs").status_code for _ in range(4)] == [200, 200, 200, 429]
    headers = {"X-Service-Authorization": "Bearer a-service"}
    registered = [
        client.post("/register", json={}, headers={**headers, "X-Forwarded-For": visitor}).status_code
        for visitor in ("8.8.8.3", "8.8.8.3", "8.8.8.4")
    ]
    assert registered == [201, 429, 201]


@pytest.mark.parametrize("token", ["made-up", "alice", "admin", ""])
def test_a_token_that_is_no_services_is_refused_by_name_and_paid_for(gateway, network, token):
    frontend = Frontend(gateway(RATE_LIMIT="1/hour burst 3"), token)

    answers = [frontend("8.8.8.8") for _ in range(5)]

    assert [each.status_code for each in answers] == [401, 401, 401, 429, 429]
    assert answers[0].json["code"] == "wrong_service_token"
    assert ("GET", "/cart") not in network.calls
    assert network.calls.count(("POST", "/validate")) == 1


def test_made_up_tokens_are_paid_for_before_the_auth_service_is_asked(gateway, network):
    client = gateway(RATE_LIMIT="1/hour burst 3")

    statuses = [Frontend(client, f"made-up-{number}")("8.8.8.8").status_code for number in range(6)]

    assert statuses == [401] * 3 + [429] * 3
    assert network.calls.count(("POST", "/validate")) == 3


def test_while_nobody_can_say_whose_the_token_is_the_application_is_one_address(gateway, network):
    network.down("POST", "/validate")
    frontend = Frontend(gateway(RATE_LIMIT="1/hour burst 4"))

    statuses = [frontend(visitor).status_code for visitor in ("8.8.8.1", "8.8.8.2", "8.8.8.3")]

    assert statuses == [200, 200, 429]  # the address pays for the asking, too
    assert network.requests[-1].headers["X-Forwarded-For"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "10.0.0.7"),
        (0, "8.8.8.8", "8.8.8.8"),
        (0, "2001:db8::1", "2001:db8::1"),
        (0, "6.6.6.6, 8.8.8.8", "10.0.0.7"),
        (0, "nonsense", "10.0.0.7"),
        (0, "8.8.8.8" + "," * 600, "10.0.0.7"),
        (1, "8.8.8.8, 10.0.0.9", "8.8.8.8"),
        (1, "6.6.6.6, 8.8.8.8, 10.0.0.9", "10.0.0.9"),
    ],
)
def test_an_application_names_one_address_and_each_trusted_proxy_appends_one(
    gateway, network, proxies, forwarded, address
):
    frontend = Frontend(gateway(RATE_LIMIT="1/hour burst 9", TRUSTED_PROXIES=str(proxies)))

    assert frontend(forwarded).status_code == 200

    assert network.requests[-1].headers["X-Forwarded-For"] == address


def test_without_the_token_nobody_is_believed(gateway, network):
    client = gateway(RATE_LIMIT="1/hour burst 1")

    statuses = _statuses(client, "/cart", headers={"X-Forwarded-For": "8.8.8.1"})
    statuses += _statuses(client, "/cart", headers={"X-Forwarded-For": "8.8.8.2"})

    assert statuses == [200, 429]
    assert network.requests[-1].headers["X-Forwarded-For"] == "127.0.0.1"


@pytest.mark.processes
def test_connections_of_an_application_are_not_capped_as_one_address(start, upstream):
    request = b"GET /cart HTTP/1.1\r\nHost: shop\r\nX-Service-Authorization: Bearer a-service\r\n\r\n"

    with start(MAX_SOCKETS=12) as gateway, ExitStack() as opened:
        clients = []
        for number in range(100):  # an address may have 64, and its silent ones give way to newcomers
            clients.append(opened.enter_context(gateway.socket()))
            clients[-1].sendall(request)
            assert clients[-1].recv(65536).startswith(b"HTTP/1.1 200 "), number
        for client in clients:
            client.sendall(request)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
