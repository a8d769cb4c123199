"""The API as one OpenAPI document, of what each service says of itself and the gateway routes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

import shop_services
from routing import find_route
from shopkit import __version__
from shopkit.errors import PROBLEM_JSON, Problem

GATEWAY = shop_services.GATEWAY.name
_ALL = (*shop_services.SERVICES, shop_services.GATEWAY)
TITLES = {each.name: each.title for each in _ALL}
_ABOUT = {each.name: each.about for each in _ALL}
_OVERVIEW = """\
Everything an online shop does, as JSON over HTTP. `/api` in front of any path is the same path.

**Signing in.** `POST /login` answers an `access_token`; send it as `Authorization: Bearer …`. When it has expired,
`POST /refresh` with the `refresh_token` in its place brings a new pair. `/auth` may stand before the paths of accounts.

**Errors** are `application/problem+json`: `error` is a sentence for people, `code` a word for programs,
`request_id` what to tell support. Beside what each operation names, the gateway itself may answer any request with

| status | meaning | what to do |
|---|---|---|
| 429 | too many requests | wait for `Retry-After` seconds |
| 502 | the service failed or is away | ask again; with the same `Idempotency-Key` nothing happens twice |
| 503 | it cannot work at the moment | wait for `Retry-After` seconds |
| 504 | it is too slow; what you asked for may happen yet | as for 502 |

**Chat** is Socket.IO at `/socket.io`, which this document cannot describe: connect with `auth: {token}`, then

- say `join_chat {ticket_id}`, `leave_chat {ticket_id}`, `chat_message {ticket_id, message}`,
  `contact_form {subject, message}`
- hear `new_message`, `contact_form_status` and, before you are sent away, `error`
"""
_ANY_JSON = {"application/json": {"schema": {"type": "object"}}}
_PROBLEM = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PAGE = {"text/html": {"schema": {"type": "string"}}}
_NOT_READY = {"503": {"description": "One that cannot; `services` says which", "content": _PROBLEM}}
_FAILURE = {
    "description": "Any other error, 429, 502, 503 and 504 of the gateway among them",
    "headers": {"Retry-After": {"description": "Seconds to wait, with 429 and 503", "schema": {"type": "integer"}}},
    "content": _PROBLEM,
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The `access_token` of `POST /login`",
}
_REFERENCE = re.compile(rb'"#/components/schemas/([\w.-]+)"')


@dataclass(frozen=True)
class ServiceApi:
    """What one service adds to the document, by path and by name of schema; as JSON, which takes less memory."""

    paths: dict[str, bytes]
    schemas: dict[str, bytes]


def routed_api(service: str, document: Mapping[str, Any]) -> ServiceApi:
    """What can be reached through the gateway of a service's own document, and the schemas that it refers to.

    :raise KeyError: the document refers to what it does not have.
    """
    routed = {path: item for path, item in document["paths"].items() if _leads_to(service, path)}
    paths = {path: _dumps(_with_our_names(service, path, item)) for path, item in routed.items()}
    schemas = {name: _dumps(schema) for name, schema in document["components"]["schemas"].items()}
    return ServiceApi(paths, _referenced(b"".join(paths.values()), schemas))


def merge(apis: Mapping[str, ServiceApi | None]) -> bytes:
    """One OpenAPI 3.1 document of all services and of the gateway itself; it names those that are missing (None)."""
    present = {**{name: api for name, api in apis.items() if api}, GATEWAY: _gateway_api()}
    paths: dict[str, orjson.Fragment] = {}
    schemas: dict[str, orjson.Fragment] = {}
    for service, api in present.items():
        names = _schema_names(service, api, present.values())
        paths |= {path: _renamed(item, names) for path, item in api.paths.items()}
        schemas |= {names[name]: _renamed(schema, names) for name, schema in api.schemas.items()}
    failure = _renamed(_dumps(_FAILURE), names)  # in the gateway's names, which come last
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "Shop-meetingAPI", "version": __version__, "description": _overview(apis)},
            "servers": [{"url": "/"}],
            "tags": [{"name": TITLES[name], "description": _ABOUT[name]} for name in present],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": {"Failure": failure},
                "securitySchemes": {"bearer": _BEARER},
            },
        }
    )


def _leads_to(service: str, path: str) -> bool:
    example = re.sub(r"\{[^}]*\}", "1", path)
    route = find_route(example)
    return route is not None and (route.service, route.target) == (service, example)


def _with_our_names(service: str, path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """A path's operations with the names they have in the whole: their tag, their id, how they fail."""
    return {
        method: {
            **operation,
            "tags": [TITLES[service]],
            "operationId": re.sub(r"\W+", "_", f"{method}{path}").strip("_"),
            "responses": {**operation["responses"], "default": {"$ref": "#/components/responses/Failure"}},
        }
        for method, operation in item.items()
    }


def _gateway_api() -> ServiceApi:
    def about(summary: str, content: Mapping[str, Any] = _ANY_JSON, **failures: Any) -> dict[str, Any]:
        return {
            "get": {"summary": summary, "responses": {"200": {"description": "OK", "content": content}, **failures}}
        }

    paths = {
        "/": about("Which services there are; for browsers a page on how they are.", {**_ANY_JSON, **_PAGE}),
        "/health": about("Whether all services can work.", **_NOT_READY),
        "/health/ready": about("The same, for machines that ask by this name.", **_NOT_READY),
        "/health/live": about("Whether the gateway is there at all."),
        "/openapi.json": about("This document."),
        "/docs": about("This document as a page to try it out on.", _PAGE),
    }
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**problem.pop("$defs"), "Problem": problem}
    return ServiceApi(
        {path: _dumps(_with_our_names(GATEWAY, path, item)) for path, item in paths.items()},
        {name: _dumps(schema) for name, schema in schemas.items()},
    )


def _overview(apis: Mapping[str, ServiceApi | None]) -> str:
    missing = ", ".join(TITLES[name] for name, api in apis.items() if api is None)
    return f"{_OVERVIEW}\n**Missing here**, for these have not been reached yet: {missing}.\n" if missing else _OVERVIEW


def _schema_names(service: str, api: ServiceApi, all_apis: Iterable[ServiceApi]) -> dict[str, str]:
    """Their names in the whole: with the service's in front where another service means something else by one."""

    def is_shared(name: str) -> bool:
        others = [other for other in all_apis if other is not api and name in other.schemas]
        return all(_meaning(name, other) == _meaning(name, api) for other in others)

    return {name: name if is_shared(name) else f"{service}.{name}" for name in api.schemas}


def _meaning(name: str, api: ServiceApi) -> dict[str, Any]:
    """A schema and all that it refers to."""
    referenced = _referenced(_dumps(f"#/components/schemas/{name}"), api.schemas)
    return {each: orjson.loads(schema) for each, schema in referenced.items()}


def _referenced(text: bytes, schemas: Mapping[str, bytes]) -> dict[str, bytes]:
    """The schemas that some JSON refers to, and those that they refer to, in a fixed order."""
    found: dict[str, bytes] = {}
    ahead = _references_in(text)
    while ahead:
        name = ahead.pop()
        found[name] = schemas[name]
        ahead |= _references_in(schemas[name]) - found.keys()
    return dict(sorted(found.items()))


def _references_in(text: bytes) -> set[str]:
    return {name.decode() for name in _REFERENCE.findall(text)}


def _renamed(text: bytes, names: Mapping[str, str]) -> orjson.Fragment:
    return orjson.Fragment(
        _REFERENCE.sub(lambda found: _dumps(f"#/components/schemas/{names[found[1].decode()]}"), text)
    )


def _dumps(value: object) -> bytes:
    return orjson.dumps(value, default=float)  # `ServiceClient` reads some numbers as Decimal
