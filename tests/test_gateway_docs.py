"""The gateway's document, merged of the real ones of all six services, is true of what the gateway does."""

import re
from importlib import import_module

import pytest
import schemathesis
from flask import Flask

from shop_services import SERVICES


@pytest.fixture
def documents(make_app, network):
    apps = {each.name: make_app(each.folder, network) for each in SERVICES}
    return {name: app.test_client().get("/openapi.json").json for name, app in apps.items()}


@pytest.fixture
def merged(documents, running_from):
    with running_from("api-gateway"):
        gateway = Flask("gateway")
        fetch = {name: (lambda document=document: document) for name, document in documents.items()}
        gateway.register_blueprint(import_module("pages.api_docs").blueprint(fetch))
        return gateway.test_client().get("/openapi.json").json


def test_the_merged_document_is_valid_and_whole(merged):
    schemathesis.openapi.from_dict(merged).validate()
    schemas, operations = merged["components"]["schemas"], _operations(merged)
    referred = set(re.findall(r"'#/components/schemas/([^']+)'", str(merged)))
    assert referred == schemas.keys()
    assert {"Problem", "OrderOut", "SignedIn"} <= schemas.keys()
    assert [name for name in schemas if "." in name] == [], "services mean different things by one name"
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    assert {name for each in operations.values() for need in each.get("security", []) for name in need} == {"bearer"}


def test_what_is_routed_is_described_and_nothing_else(merged, documents, running_from):
    with running_from("api-gateway"):
        find = import_module("routing").find_route
    described = {(method, path) for method, path in _operations(merged) if find(path)}
    public = {
        (method, path)
        for document in documents.values()
        for method, path in _operations(document)
        if not path.startswith("/internal/") and path not in ("/validate", "/token")
    }

    assert described == public
    assert {path for path in merged["paths"] if not find(path)} == {
        "/",
        "/health",
        "/health/ready",
        "/health/live",
        "/openapi.json",
        "/docs",
    }


def _operations(document):
    return {(method, path): each for path, item in document["paths"].items() for method, each in item.items()}
