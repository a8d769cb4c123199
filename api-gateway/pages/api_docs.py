"""The API as one document, of what each service says of itself and the gateway routes, and a page to try it out on."""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from flask import Blueprint, Response, make_response, render_template, request

import shop_services
from pages.static_answers import StaticAnswer, StaticFiles
from routing import find
from shopkit import __version__
from shopkit.errors import PROBLEM_JSON, NotFound, Problem, ShopError, UpstreamFailed
from shopkit.http_client import ServiceClient

SECONDS = 2.0
FRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0
YEAR = 365 * 24 * 3600

_PARTS = (*shop_services.SERVICES, shop_services.GATEWAY)
TITLES = {each.name: each.title for each in _PARTS}
_ABOUT = {each.name: each.about for each in _PARTS}
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
_SCHEMA = re.compile(rb'"#/components/schemas/([\w.-]+)"')

# Swagger UI sets styles by script, which needs no permission; its icons are data: URLs, pictures in answers blob: URLs.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OURS = Path(__file__).parent / "static"
_SWAGGER = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
_ASSETS = {
    "docs.css": _OURS / "docs.css",
    "docs.js": _OURS / "docs.js",
    "swagger-ui.css": _SWAGGER / "css" / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER / "js" / "swagger-ui-bundle.js",
    "swagger.svg": _SWAGGER / "images" / "swagger.svg",
}
_MIMETYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

logger = logging.getLogger(__name__)

Fetch = Callable[[], dict[str, Any]]


def blueprint(fetch: Mapping[str, Fetch], clock: Callable[[], float] = time.monotonic) -> Blueprint:
    """`/openapi.json`, and `/docs` with what belongs to it.

    :param fetch: how to get each service's own document, in the order of the routing table; may raise anything.
    """
    docs = Blueprint("docs", __name__, template_folder="templates")
    document = _Document(fetch, clock)
    versions = {name: _digest(path) for name, path in _ASSETS.items()}
    assets = StaticFiles(_ASSETS, _MIMETYPES, f"public, max-age={YEAR}, immutable")  # an address has a digest

    @docs.get("/openapi.json")
    def describe() -> Response:
        return document.current().respond(request)

    @docs.get("/docs")
    def show() -> Response:
        response = make_response(render_template("docs.html", versions=versions))
        response.cache_control.no_cache = True
        response.content_security_policy = _CSP
        return response

    @docs.get("/docs/<name>")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise NotFound("There is nothing here.")
        return assets.get(name).respond(request)

    return docs


def ask_any(instances: Sequence[ServiceClient]) -> dict[str, Any]:
    """The document of a service, from the first of its instances that answers.

    :raise UpstreamFailed: none does.
    """
    for client in instances:
        with suppress(ShopError):
            return client.call("GET", "/openapi.json", seconds=SECONDS)  # type: ignore[no-any-return]
    raise UpstreamFailed("No instance describes itself.")


@dataclass(frozen=True)
class Part:
    """What one service adds to the document, by path and by name of schema; as JSON, which takes less memory."""

    paths: dict[str, bytes]
    schemas: dict[str, bytes]


class _Document:
    """The merged document, made when it is asked for and somebody's part of it may have changed."""

    def __init__(self, fetch: Mapping[str, Fetch], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._due = dict.fromkeys(fetch, float("-inf"))
        self._parts: dict[str, Part] = {}
        self._answer: StaticAnswer | None = None
        self._lock = Lock()

    def current(self) -> StaticAnswer:
        # While one request asks the services, others get the document as it was; only the very first is waited for.
        known = self._answer
        is_ours = self._lock.acquire(blocking=known is None)
        if known is not None and not is_ours:
            return known
        try:
            return self._refreshed(self._clock())
        finally:
            self._lock.release()

    def _refreshed(self, now: float) -> StaticAnswer:
        due = {name: fetch for name, fetch in self._fetch.items() if now >= self._due[name]}
        if due:
            self._parts |= _ask_all(due)
            self._due |= {name: now + (FRESH_SECONDS if name in self._parts else RETRY_SECONDS) for name in due}
        if due or self._answer is None:
            document = merge({name: self._parts.get(name) for name in self._fetch})
            if self._answer is None or document != self._answer.body:
                self._answer = StaticAnswer(document, "application/json", "no-cache")
        return self._answer


def _ask_all(fetch: Mapping[str, Fetch]) -> dict[str, Part]:
    """Ask all at once; who is away or not done after two seconds is left out."""
    pool = ThreadPoolExecutor(len(fetch))
    answers = {name: pool.submit(_ask, name, each) for name, each in fetch.items()}
    pool.shutdown(wait=False)
    wait(answers.values(), timeout=SECONDS)
    return {name: part for name, answer in answers.items() if answer.done() and (part := answer.result())}


def _ask(service: str, fetch: Fetch) -> Part | None:
    try:
        return part_of(service, fetch())
    except Exception as error:  # nothing that is wrong with one service may hide the others
        logger.warning("the API of %s stays as it was known: %s", service, type(error).__name__)
        return None


def part_of(service: str, document: Mapping[str, Any]) -> Part:
    """What can be reached through the gateway, and the schemas that it refers to.

    :raise KeyError: the document refers to what it does not have.
    """
    reachable = {path: item for path, item in document["paths"].items() if _leads_to(service, path)}
    paths = {path: _dumps(_describe(service, path, item)) for path, item in reachable.items()}
    schemas = {name: _dumps(schema) for name, schema in document["components"]["schemas"].items()}
    return Part(paths, _needed(b"".join(paths.values()), schemas))


def merge(parts: Mapping[str, Part | None]) -> bytes:
    """One OpenAPI 3.1 document of all parts and of the gateway's own; it names those that are missing (None)."""
    present = {**{name: part for name, part in parts.items() if part}, "api-gateway": _own_part()}
    paths: dict[str, orjson.Fragment] = {}
    schemas: dict[str, orjson.Fragment] = {}
    failure = _dumps(_FAILURE)
    for service, part in present.items():
        names = {
            name: name if _is_same_everywhere(name, part, present.values()) else f"{service}.{name}"
            for name in part.schemas
        }
        paths |= {path: _renamed(item, names) for path, item in part.paths.items()}
        schemas |= {names[name]: _renamed(schema, names) for name, schema in part.schemas.items()}
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "Shop-meetingAPI", "version": __version__, "description": _overview(parts)},
            "servers": [{"url": "/"}],
            "tags": [{"name": TITLES[name], "description": _ABOUT[name]} for name in present],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": {"Failure": _renamed(failure, names)},  # in the gateway's names, which come last
                "securitySchemes": {"bearer": _BEARER},
            },
        }
    )


def _leads_to(service: str, path: str) -> bool:
    example = re.sub(r"\{[^}]*\}", "1", path)
    route = find(example)
    return route is not None and (route.service, route.target) == (service, example)


def _describe(service: str, path: str, item: Mapping[str, Any]) -> dict[str, Any]:
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


def _own_part() -> Part:
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
    return Part(
        {path: _dumps(_describe("api-gateway", path, item)) for path, item in paths.items()},
        {name: _dumps(schema) for name, schema in schemas.items()},
    )


def _overview(parts: Mapping[str, Part | None]) -> str:
    missing = ", ".join(TITLES[name] for name, part in parts.items() if part is None)
    return f"{_OVERVIEW}\n**Missing here**, for these have not been reached yet: {missing}.\n" if missing else _OVERVIEW


def _is_same_everywhere(name: str, part: Part, parts: Iterable[Part]) -> bool:
    """Whether a name means the same in all parts that have it, down to what it refers to."""
    others = [other for other in parts if other is not part and name in other.schemas]
    return all(_meaning(name, other) == _meaning(name, part) for other in others)


def _meaning(name: str, part: Part) -> dict[str, Any]:
    needed = _needed(_dumps(f"#/components/schemas/{name}"), part.schemas)
    return {each: orjson.loads(schema) for each, schema in needed.items()}


def _needed(text: bytes, schemas: Mapping[str, bytes]) -> dict[str, bytes]:
    """The schemas that some JSON refers to, and those that they refer to, in a fixed order."""
    found: dict[str, bytes] = {}
    ahead = _names_in(text)
    while ahead:
        name = ahead.pop()
        found[name] = schemas[name]
        ahead |= _names_in(schemas[name]) - found.keys()
    return dict(sorted(found.items()))


def _names_in(text: bytes) -> set[str]:
    return {name.decode() for name in _SCHEMA.findall(text)}


def _renamed(text: bytes, names: Mapping[str, str]) -> orjson.Fragment:
    return orjson.Fragment(_SCHEMA.sub(lambda found: _dumps(f"#/components/schemas/{names[found[1].decode()]}"), text))


def _dumps(value: object) -> bytes:
    return orjson.dumps(value, default=float)  # `ServiceClient` reads some numbers as Decimal


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
