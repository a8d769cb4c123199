import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
import requests
import schemathesis
from flask import Flask

from pages import api_docs, openapi
from routing import SERVICES
from shopkit import errors, logs

BROKEN = requests.ConnectionError("it is away")


def _document(*paths, schemas=None, refers_to=()):
    """What a service says of itself: these paths, each answering with one of all the schemas it refers to."""
    schema = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in refers_to]} if refers_to else {}
    answer = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    operation = {"tags": ["x"], "operationId": "same", "responses": {"200": answer, "default": answer}}
    return {"paths": {path: {"get": operation} for path in paths}, "components": {"schemas": schemas or {}}}


class Shop:
    """All services as functions that count how often they are asked; what is an exception, is raised."""

    def __init__(self):
        self.now = 1000.0
        self.says = {name: _document(f"/{prefixes[-1]}") for name, prefixes in SERVICES.items()}
        self.asked = dict.fromkeys(SERVICES, 0)
        self.app = Flask("gateway")
        logs.init_app(self.app)
        errors.init_app(self.app)
        docs = api_docs.blueprint({name: self._fetch(name) for name in SERVICES}, lambda: self.now)
        self.app.register_blueprint(docs)
        self.app.register_blueprint(docs, url_prefix="/api", name="api-docs")

    def _fetch(self, name):
        def fetch():
            self.asked[name] += 1
            said = self.says[name]
            if isinstance(said, Exception):
                raise said
            return said() if callable(said) else said

        return fetch

    def document(self):
        return self.app.test_client().get("/openapi.json").json


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def page(shop):
    return partial(shop.app.test_client().get, buffered=True)  # which closes files


def test_only_what_the_gateway_routes_is_described(shop):
    shop.says["auth-service"] = _document("/login", "/validate", "/token", "/auth/login", "/internal/x", "/health")
    shop.says["order-service"] = _document("/orders", "/orders/{order_id}", "/cart", "/internal/orders", "/metrics")
    shop.says["cart-service"] = _document("/cart/items/{item_id}", "/orders/{order_id}/x", "/openapi.json")

    paths = set(shop.document()["paths"])

    own = {"/", "/health", "/health/live", "/health/ready", "/openapi.json", "/docs"}
    others = {"/payment-methods", "/images", "/socket.io"}
    assert paths - own - others == {"/login", "/orders", "/orders/{order_id}", "/cart/items/{item_id}"}
    assert own | others <= paths


def test_schemas_of_what_is_not_routed_stay_inside(shop):
    schemas = {"Secret": {"type": "object"}, "Outer": {"$ref": "#/components/schemas/Inner"}, "Inner": {"type": "null"}}
    shop.says["cart-service"] = _document("/cart", schemas=schemas, refers_to=["Outer"])

    assert set(shop.document()["components"]["schemas"]) == {"Outer", "Inner", "Problem", "FieldError"}


def test_equal_schemas_are_shared_whatever_the_order_of_their_members(shop):
    for name, schema in (
        ("cart-service", {"type": "object", "title": "Item"}),
        ("order-service", {"title": "Item", "type": "object"}),
    ):
        shop.says[name] = _document(f"/{SERVICES[name][0]}", schemas={"Item": schema}, refers_to=["Item"])

    assert shop.document()["components"]["schemas"]["Item"] == {"type": "object", "title": "Item"}


def test_different_schemas_of_one_name_get_their_services_name_and_references_follow(shop):
    wrapped = {"items": {"$ref": "#/components/schemas/Item"}}
    for name, kind in (("cart-service", "string"), ("order-service", "integer")):
        schemas = {"Item": {"type": kind}, "Items": wrapped}
        shop.says[name] = _document(f"/{SERVICES[name][0]}", schemas=schemas, refers_to=["Items"])

    document = shop.document()

    schemas = document["components"]["schemas"]
    for name, kind in (("cart-service", "string"), ("order-service", "integer")):
        answer = document["paths"][f"/{SERVICES[name][0]}"]["get"]["responses"]["200"]["content"]["application/json"]
        assert answer["schema"]["anyOf"] == [{"$ref": f"#/components/schemas/{name}.Items"}]
        assert schemas[f"{name}.Items"] == {"items": {"$ref": f"#/components/schemas/{name}.Item"}}
        assert schemas[f"{name}.Item"] == {"type": kind}
    assert not {"Item", "Items"} & schemas.keys()


def test_operations_have_one_tag_a_service_in_the_order_of_the_routing_and_ids_of_their_own(shop):
    document = shop.document()

    operations = [operation for item in document["paths"].values() for operation in item.values()]
    tags = [tag["name"] for tag in document["tags"]]
    assert tags == [openapi.TITLES[name] for name in (*SERVICES, "api-gateway")]
    assert list(dict.fromkeys(tuple(each["tags"]) for each in operations)) == [(tag,) for tag in tags]
    assert len({each["operationId"] for each in operations}) == len(operations)


def test_what_the_gateway_itself_may_answer_is_said_once_and_holds_everywhere(shop):
    document = shop.document()

    for item in document["paths"].values():
        assert item["get"]["responses"]["default"] == {"$ref": "#/components/responses/Failure"}
    assert {"429", "502", "503", "504"} <= set(re.findall(r"\d{3}", document["info"]["description"]))


def test_the_document_is_valid_and_relative_to_where_it_is_from(shop):
    document = shop.document()

    schemathesis.openapi.from_dict(document).validate()
    assert document["servers"] == [{"url": "/"}]


def test_services_are_asked_when_somebody_asks_and_a_minute_later_at_the_earliest(shop):
    asked = []
    for now in (1000, 1059.9, 1060):
        shop.now = now
        shop.document()
        asked.append(set(shop.asked.values()))

    assert asked == [{1}, {1}, {2}]


def test_a_service_that_went_away_keeps_what_was_known_of_it(shop):
    before = shop.document()
    shop.says["cart-service"] = BROKEN
    shop.now += 60

    assert shop.document() == before


def test_a_service_that_was_never_seen_is_named_and_asked_again_soon_and_alone(shop):
    known = shop.says["cart-service"]
    shop.says["cart-service"] = BROKEN

    document = shop.document()
    shop.now += 4.9
    shop.document()
    asked = shop.asked["cart-service"]
    shop.now += 0.1
    shop.says["cart-service"] = known
    later = shop.document()

    assert ("/cart" in document["paths"], "Cart" in [tag["name"] for tag in document["tags"]]) == (False, False)
    assert document["info"]["description"].endswith("for these have not been reached yet: Cart.\n")
    assert asked == 1
    assert shop.asked == {**dict.fromkeys(SERVICES, 1), "cart-service": 2}
    assert "/cart" in later["paths"]
    assert "not been reached" not in later["info"]["description"]


@pytest.mark.parametrize("nonsense", [None, {}, {"paths": {"/cart": {"get": {}}}}, _document("/cart", refers_to=["X"])])
def test_a_document_that_makes_no_sense_does_not_hide_the_others(shop, nonsense):
    shop.says["cart-service"] = lambda: nonsense

    document = shop.document()

    assert "/orders" not in document["paths"]
    assert "/webhooks" in document["paths"]
    assert "/cart" not in document["paths"]


def test_a_service_that_hangs_is_not_waited_for(shop, monkeypatch):
    go_on = Event()
    monkeypatch.setattr(api_docs, "SECONDS", 0.1)
    shop.says["cart-service"] = lambda: go_on.wait(10) and {}

    begin = time.monotonic()
    document = shop.document()
    seconds = time.monotonic() - begin
    go_on.set()

    assert seconds < 1
    assert "/webhooks" in document["paths"]
    assert "/cart" not in document["paths"]


def test_requests_at_once_ask_the_services_once_and_who_has_something_to_show_does_not_wait(shop):
    asked, go_on = Event(), Event()

    def slowly():
        asked.set()
        go_on.wait(10)
        return _document("/cart")

    shop.says["cart-service"] = slowly
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(shop.document) for _ in range(3)]
        asked.wait(10)
        go_on.set()
    documents = [each.result() for each in first]
    asked.clear()
    go_on.clear()
    shop.now += 60
    with ThreadPoolExecutor(2) as pool:
        pool.submit(shop.document)
        asked.wait(10)
        try:
            meanwhile = pool.submit(shop.document).result(1)
        finally:
            go_on.set()

    assert documents[0] == documents[1] == documents[2] == meanwhile
    assert set(shop.asked.values()) == {2}


def test_what_has_not_changed_is_not_sent_again(shop, page):
    response = page("/openapi.json")
    same = page("/api/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    shop.says["cart-service"] = _document("/cart/items")
    shop.now += 60
    changed = page("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})

    assert response.headers["Cache-Control"] == "no-cache"
    assert (same.status_code, same.data, changed.status_code) == (304, b"", 200)


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_page_and_all_that_it_loads_come_from_the_gateway(page, prefix):
    html = page(f"{prefix}/docs")

    addresses = re.findall(r'(?:src|href)="([^"]+)"', html.text)
    assert len(addresses) == 7
    for address in addresses:
        assert address.startswith((f"{prefix}/docs/", f"{prefix}/openapi.json"))
        assert page(address).status_code == 200
    assert html.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self';"
    )
    assert not re.search(r"<style|<script[^>]*>[^<]|\son\w+=|style=", html.text)


def test_what_the_page_is_made_of_is_kept_for_a_year_under_an_address_of_its_content(page, tmp_path):
    style = page("/docs/docs.css")

    assert "max-age=31536000" in style.headers["Cache-Control"]
    assert "immutable" in style.headers["Cache-Control"]
    (tmp_path / "docs.css").write_bytes(style.data)
    assert f"docs.css?v={api_docs._digest(tmp_path / 'docs.css')}" in page("/docs").text


@pytest.mark.parametrize(
    "name",
    ["api_docs.py", "../api_docs.py", "..%2fapi_docs.py", "%2e%2e/api_docs.py", "..\\app.py", "js/x.js", "/etc/passwd"],
)
def test_nothing_else_is_served(page, name):
    assert page(f"/docs/{name}").status_code == 404
