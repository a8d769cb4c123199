"""Walks the URL map of every service: a new route without a rule about who may use it fails here."""

import re
from uuid import UUID

import pytest

from shop_services import SERVICES
from shopkit.auth import EVERYONE, PEOPLE, SERVICE, allowed_roles

# Routes that anybody may use. What is not here asks who is calling.
PUBLIC = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /openapi.json",
    "POST /register",
    "POST /login",
    "POST /logout",  # with the token itself
    "POST /refresh",  # with the refresh token
    "POST /validate",  # with the token itself
    "POST /token",  # with a service's secret
    "POST /webhooks/stripe",  # signed by the payment provider
    "GET /products",
    "GET /products/<int:product_id>",
    "GET /products/<int:product_id>/reviews",
    "GET /categories",
    "GET /categories/<category>",
    "GET /search",
    "GET /images/<file>",
}
# Signed-in people may name what belongs to nobody.
NOBODYS = {"POST /products/<int:product_id>/reviews"}
# Bodies that get past validation, so that the answer is about whose it is.
ADDRESS = {
    "recipient": "Mallory",
    "address_line1": "1 Street",
    "city": "City",
    "postal_code": "12345",
    "country": "US",
}
BODIES = {
    "PUT /addresses/<int:address_id>": ADDRESS,
    "PATCH /addresses/<int:address_id>": ADDRESS,
    "PUT /cart/items/<int:item_id>": {"quantity": 1},
    "PUT /orders/<int:order_id>": {"status": "cancelled"},
    "POST /tickets/<int:ticket_id>/messages": {"message": "hello"},
}
# In every seeded database the row with the id 1 is alice's.
ALICES_ID = 1


def _routes(app):
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield f"{method} {rule.rule}", rule, allowed_roles(app, rule.endpoint, rule.rule)


@pytest.fixture(params=SERVICES, ids=lambda entry: entry.name)
def service_app(request, make_app, network):
    """Each service by itself, seeded; who is calling is decided by the test's network."""
    return make_app(request.param.folder, network)


def test_what_is_public_is_listed(service_app):
    public = {name for name, _, roles in _routes(service_app) if roles is EVERYONE}

    assert public <= PUBLIC


def test_whatever_is_not_public_is_a_401_without_a_token(service_app):
    client = service_app.test_client()
    for name, rule, roles in _routes(service_app):
        if roles is not EVERYONE:
            assert client.open(_path(rule), method=name.split()[0], json={}).status_code == 401, name


def test_what_is_narrowed_is_a_403_for_customers(service_app, bob):
    client = service_app.test_client()
    for name, rule, roles in _routes(service_app):
        if roles not in (EVERYONE, PEOPLE):
            answer = client.open(_path(rule), method=name.split()[0], json={}, headers=bob)
            assert answer.status_code == 403, name


def test_what_is_internal_is_for_services_alone(service_app):
    for name, rule, roles in _routes(service_app):
        assert (roles == {SERVICE}) is rule.rule.startswith("/internal/"), name


def test_what_is_alices_is_a_404_for_bob(service_app, bob, newcomer):
    client = service_app.test_client()
    for name, rule, roles in _routes(service_app):
        if roles == PEOPLE and rule.arguments and name not in NOBODYS:
            for who in (bob, newcomer):
                answer = client.open(_path(rule), method=name.split()[0], json=BODIES.get(name), headers=who)
                assert answer.status_code == 404, (name, answer.text)


def test_a_newcomer_finds_nothing_of_anybody(service_app, newcomer):
    client = service_app.test_client()
    for name, rule, roles in _routes(service_app):
        if roles == PEOPLE and not rule.arguments and name.startswith("GET "):
            found = client.get(rule.rule, headers=newcomer).json
            assert found == [] or found.get("items") == [] or found.get("user_id") == 99, name


def _path(rule):
    return re.sub(r"<(?:(\w+):)?\w+>", lambda found: str(UUID(int=1) if found[1] == "uuid" else ALICES_ID), rule.rule)
