"""Only the gateway knows what the shop is called from outside, and tells the services with every request."""

import pytest

NAMED = {"PUBLIC_URL": "https://shop.example.com/our/"}


@pytest.fixture
def told(client, network):
    """What a service is told when the gateway is called so: `told(Host="localhost:5000")`"""
    network.on("GET", "/cart", {"items": []})

    def told(path="/cart", **headers):
        assert client.get(path, headers=headers).status_code == 200
        return network.requests[-1].headers.get("X-Public-Url")

    return told


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:8000", "127.9.9.9", "[::1]:5000"])
def test_a_loopback_host_is_repeated(told, host):
    assert told(Host=host) == f"http://{host}"
    assert told("/api/cart", Host=host) == f"http://{host}"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:5000", "10.0.0.7:5000", "127.0.0.1.evil.example"]
)
def test_any_other_host_is_not(told, host):
    assert told(Host=host) is None


@pytest.mark.parametrize("environ", [NAMED])
@pytest.mark.parametrize("host", ["localhost:5000", "evil.example", "shop.example.com"])
def test_the_setting_counts_under_whatever_host(told, host):
    assert told(Host=host) == "https://shop.example.com/our"


@pytest.mark.parametrize("environ", [{}, NAMED])
def test_nobody_else_can_say_it(told):
    lies = {
        "X-Public-Url": "https://evil.example",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
    }

    assert "evil" not in str(told(Host="shop.example", **lies))
    assert "evil" not in told(Host="localhost", **lies)


@pytest.mark.parametrize("environ", [{"TRUSTED_PROXIES": "1"}])
def test_behind_a_proxy_it_is_the_host_that_the_proxy_was_called_under(told):
    https = {"X-Forwarded-Proto": "https"}

    assert told(Host="127.0.0.1:5000", **{**https, "X-Forwarded-Host": "localhost:8443"}) == "https://localhost:8443"
    assert told(Host="127.0.0.1:5000", **{**https, "X-Forwarded-Host": "shop.example"}) is None
    assert told(Host="127.0.0.1:5000", **https) is None


@pytest.mark.parametrize("path", ["/", "//", "//health", "/health/", "//docs", "/docs/", "//docs//", "/api", "/none"])
@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host"])
def test_a_host_that_somebody_made_up_is_in_no_answer_of_the_gateway_itself(client, network, path, name):
    network.on("GET", "/health/ready", {"status": "ok"})
    headers = {name: "evil.example", "Accept": "text/html"}

    answer = client.get("/", headers=headers, environ_overrides={"PATH_INFO": path, "RAW_URI": path})

    assert "evil" not in f"{answer.headers}{answer.text}"
