"""Whatever name somebody calls the shop by, no answer repeats it: links, pictures, documents, redirects, errors.

Whoever can make the shop say `https://stranger.example/…` can have it kept in a cache, or clicked on.
"""

import re
from importlib import import_module

import pytest

STRANGER = "stranger.example"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
NAMES = {
    "Host": {"Host": STRANGER},
    "Host with port": {"Host": f"{STRANGER}:8443"},
    "X-Forwarded-Host": {"X-Forwarded-Host": STRANGER},
    "loopback before a stranger": {"Host": "localhost:5000", "X-Forwarded-Host": f"localhost, {STRANGER}"},
    "all": {
        "Host": f"localhost.{STRANGER}",
        "Forwarded": f"host={STRANGER};proto=https",
        "X-Forwarded-Host": STRANGER,
        "X-Forwarded-Server": STRANGER,
        "X-Forwarded-Prefix": f"//{STRANGER}",
        "X-Original-Url": f"https://{STRANGER}/",
        "X-Rewrite-Url": f"https://{STRANGER}/",
        "X-Public-Url": f"https://{STRANGER}",
        "Referer": f"https://{STRANGER}/",
    },
}
OWN_PAGES = (
    "/docs",
    "/docs/",
    "/docs/docs.js",
    "/metrics",
    "/nothing-here",
    "//cart",
    "/products/",
    "/api",
    "/health/",
)
# Of the gateway none but these changes anything that another one needs.
BODIES = {
    "/cart/items": {"product_id": 1, "quantity": 1},
    "/tickets": {"subject": "Where is it?", "message": "It has not come."},
    "/favorites": {"product_id": 2},
    "/payment-methods": {"card_number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
    "/addresses": {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"},
}
PAGES = ("/products?per_page=1", "/search?q=a&per_page=1", "/orders?per_page=1", "/products/1/reviews?per_page=1")


def _paths(document):
    return [re.sub(r"\{[^}]*\}", "1", path) for path in document["paths"]]


def _ask(client, method, path, headers, **options):
    answer = client.open(path, method=method, headers=headers, **options)
    said = f"{answer.status} {answer.headers}\n{answer.get_data(as_text=True)}"
    return [f"{method} {path}: …{said[max(0, at - 40) : at + 40]}…" for at in _places(said)]


def _places(said):
    return [found.start() for found in re.finditer(re.escape(STRANGER), said, re.IGNORECASE)]


@pytest.fixture
def gateway(shop, running_from, environment):
    """A client of a gateway of the shop that does not count how much is asked."""
    off = dict.fromkeys(("RATE_LIMIT", "ADDRESS_RATE_LIMIT", "SIGN_IN_RATE_LIMIT", "SIGN_IN_ADDRESS_RATE_LIMIT"), "off")
    with running_from("api-gateway"):
        settings = import_module("settings").Settings.from_env({**environment, **off})
        return import_module("app").create_app(settings, shop.wiring).test_client()


@pytest.fixture
def signed_in(shop):
    """The headers of alice."""
    token = shop.sign_in("alice")["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_no_answer_of_the_shop_repeats_a_name_that_somebody_made_up(gateway, signed_in, names):
    headers = {**signed_in, **names}
    document = gateway.get("/openapi.json").json
    found = []
    for path in (*_paths(document), *OWN_PAGES, *PAGES):
        for method in METHODS:
            if method == "POST" and path == "/logout":
                continue  # the others need the session
            for prefix in ("", "/api") if method == "GET" else ("",):
                found += _ask(gateway, method, prefix + path, headers, json=BODIES.get(path, {}))

    assert found == []


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_what_is_absolute_under_loopback_is_a_path_under_another_name(gateway, names):
    known = gateway.get("/products?per_page=1", headers={"Host": "localhost:5000"})
    other = gateway.get("/products?per_page=1", headers=names)

    assert "http://localhost:5000/" in known.headers["Link"]
    assert known.json[0]["image_url"].startswith("http://localhost:5000/images/")
    if STRANGER in names.get("Host", ""):
        assert other.headers["Link"].startswith("</products?")
        assert other.json[0]["image_url"].startswith("/images/")


@pytest.mark.parametrize("target", [f"http://{STRANGER}/cart", f"//{STRANGER}/cart", f"http://{STRANGER}/docs", "*"])
def test_a_target_that_names_a_host_leads_nowhere_and_is_not_repeated(shop, gateway, signed_in, target):
    found = _ask(gateway, "GET", "/", signed_in, environ_overrides={"RAW_URI": target, "PATH_INFO": "/cart"})

    assert found == []
    assert ("GET", "/cart") not in shop.wiring.calls


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_no_service_repeats_it_even_to_who_asks_it_without_the_gateway(shop, signed_in, names):
    headers = {**signed_in, **{name: text for name, text in names.items() if name != "X-Public-Url"}}
    found = []
    for app in shop.wiring.apps.values():
        client = app.test_client()
        for path in (*_paths(client.get("/openapi.json").json), "/nothing-here", "/health/", "//x", "/openapi.json"):
            for method in METHODS:
                if path != "/logout":
                    found += _ask(client, method, path, headers, json=BODIES.get(path, {}))

    assert found == []
