"""No header and no query is dear to read for the gateway, on its own pages or on the way to a service."""

from functools import partial
from itertools import product

import pytest

from shopkit.testing import cpu_seconds

MOST_SECONDS = 0.1
SIZE = 32_000
NAMES = [
    *("Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Range", "If-None-Match", "If-Range", "Content-Type"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Service-Authorization", "Origin", "Authorization", "Connection"),
    *("Access-Control-Request-Headers", "X-Request-ID", "Upgrade", "Expect"),
]
STARTS = ["a=\t", "a ", "a/b\t", "W/\t", "bytes=\t", '"\\', "a;q=", ",", ";", "a, ", "Bearer ", "%", "8.8.8.8,"]
HOSTILE = list(product(STARTS, ('"', "a")))
PATHS = ["/", "/docs", "/openapi.json", "/docs/docs.css", "/health/live", "/nothing-here", "/cart", "/socket.io/"]


@pytest.fixture(params=[0, 2])
def environ(request):
    return {"TRUSTED_PROXIES": str(request.param), "RATE_LIMIT": "off"}


@pytest.fixture
def ready_client(app, network):
    """A client of a gateway that has answered each page once; it sends cookies as a test gives them."""
    client = app.test_client(use_cookies=False)
    network.on("GET", "/cart", {"items": []})
    network.on("GET", "/socket.io/", {})
    network.on("GET", "/health/ready", {"status": "ok"})
    network.on("GET", "/openapi.json", {"paths": {}, "components": {"schemas": {}}})
    for path in PATHS:
        client.get(path)
    return client


def _hostile(start, end):
    """Something like `a=<much white space>"`: the start once, its last letter again and again, and an end."""
    return start + start[-1] * (SIZE - len(start) - 1) + end


@pytest.mark.parametrize("name", NAMES)
def test_no_header_takes_longer_to_read_than_to_send(ready_client, name):
    for path in PATHS:
        for start, end in HOSTILE:
            ask = partial(ready_client.get, path, headers={name: _hostile(start, end)})

            assert cpu_seconds(ask, MOST_SECONDS) < MOST_SECONDS, (path, start, end)
            assert ask().status_code in (200, 401, 404, 431, 502), (path, start, end)


@pytest.mark.parametrize("name", ["Origin", "Access-Control-Request-Headers", "Cookie"])
def test_no_preflight_does(ready_client, name):
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    for start, end in HOSTILE:
        headers = {**asked, name: _hostile(start, end)}

        assert cpu_seconds(partial(ready_client.options, "/cart", headers=headers), MOST_SECONDS) < MOST_SECONDS, (
            start,
            end,
        )


@pytest.mark.parametrize("path", ["/cart", "/docs", "/socket.io/", "/nothing-here"])
def test_no_query_does(ready_client, path):
    for text in ("a=" + "%" * 8000, "&" * 8000, "=" * 8000, "sid=1&" * 1300, "sid=" + "+" * 8000 + "b", "%ff" * 2600):
        assert cpu_seconds(partial(ready_client.get, f"{path}?{text}"), MOST_SECONDS) < MOST_SECONDS, text[:10]


def test_what_is_too_long_for_a_page_is_refused_as_a_problem(ready_client):
    answer = ready_client.get("/docs", headers={"Accept": "a" * 2000, "Origin": "http://localhost:3000"})

    assert (answer.status_code, answer.json["code"]) == (431, "request_header_fields_too_large")
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
