import pytest

from routing import HIDDEN, SERVICES, Route, find_route


@pytest.mark.parametrize(
    ("prefix", "service"), [(prefix, service) for service, prefixes in SERVICES.items() for prefix in prefixes]
)
def test_a_prefix_leads_to_its_service_with_and_without_api_in_front(prefix, service):
    for path in (f"/{prefix}", f"/{prefix}/", f"/{prefix}/1?x=%2f&y", f"/api/{prefix}/1"):
        assert find_route(path).service == service


@pytest.mark.parametrize(
    ("target", "passed_on", "removed_prefix"),
    [
        ("/cart", "/cart", ""),
        ("/api/cart/items/3", "/cart/items/3", "/api"),
        ("/auth/login", "/login", "/auth"),
        ("/api/auth/login?next=1", "/login?next=1", "/api/auth"),
        ("/auth", "/", "/auth"),
        ("/auth/", "/", "/auth"),
        ("/login", "/login", ""),
        ("/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=polling", ""),
    ],
)
def test_what_stands_in_front_is_removed_and_remembered(target, passed_on, removed_prefix):
    route = find_route(target)

    assert (route.target, route.removed_prefix) == (passed_on, removed_prefix)


def test_the_rest_stays_as_it_was_sent():
    assert find_route("/api/c%61rt/a/%2e%2Fb%c3%a9//"[:-1] + "?q=50%%20off&a[]=%2f|?") == Route(
        "cart-service", "/c%61rt/a/%2e%2Fb%c3%a9/?q=50%%20off&a[]=%2f|?", "/api", "cart"
    )


@pytest.mark.parametrize("hidden", sorted(HIDDEN))
@pytest.mark.parametrize("form", ["/{}", "/api/{}", "/auth/{}", "/api/auth/{}", "/auth/{}/", "/auth/{}/x", "/{}?a=b"])
def test_what_services_keep_to_themselves_does_not_exist(hidden, form):
    encoded = "".join(f"%{ord(char):02x}" for char in hidden)

    for spelling in (hidden, hidden.upper(), encoded, encoded.upper()):
        assert find_route(form.format(spelling)) is None


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api",
        "/api/",
        "/api/api/cart",
        "/cartoon",
        "/carts/1",
        "/CART",
        "/cart;x=1",
        "/cart%20",
        "/%2563art",
        "/unknown",
        "//cart",
        "/cart//items",
        "/api//cart",
        "/auth//validate",
        "/auth/./validate",
        "/auth/%2e/validate",
        "/auth/x/../validate",
        "/auth/x/%2E%2e/validate",
        "/auth/..;/cart/../internal",
        "/auth/x%2f..%2fvalidate",
        "/auth/%2fvalidate",
        "/auth%2fvalidate",
        "/auth%5cvalidate",
        "/auth/\\validate",
        "/auth/x\\..\\validate",
        "/auth\\validate",
        "/products/1%2f2",
        "/cart/../internal/stock",
        "/cart/%2e%2e/internal/stock",
        "/cart/x/..",
        "/./cart",
        "/categories/%00",
        "/categories/%0d%0a",
        "/cart#/../x/..",
        "/cart?a=b#c",
        "/auth/validate#x",
        "/auth/internal#/events",
        "/search?q=t\xeate",
        "cart",
        "*",
        "http://elsewhere/cart",
        "",
    ],
)
def test_what_is_not_in_the_table_or_could_be_read_in_two_ways_leads_nowhere(target):
    assert find_route(target) is None
