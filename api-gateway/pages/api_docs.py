"""The document of the API, kept fresh, and a page to try it out on."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from pages.fan_out import call_all
from pages.openapi import ServiceApi, merge, routed_api
from pages.static_answers import StaticAnswer, StaticFiles
from shopkit.errors import ShopError, UpstreamFailed
from shopkit.http_client import ServiceClient

SECONDS = 2.0
FRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0
YEAR = 365 * 24 * 3600

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
"""How to get a service's own document; may raise anything."""


def blueprint(fetch: Mapping[str, Fetch], clock: Callable[[], float] = time.monotonic) -> Blueprint:
    """`/openapi.json`, and `/docs` with what belongs to it.

    :param fetch: by service, in the order of the routing table.
    """
    docs = Blueprint("docs", __name__, template_folder="templates")
    document = MergedDocument(fetch, clock)
    digests = {name: _digest(path) for name, path in _ASSETS.items()}
    assets = StaticFiles(_ASSETS, _MIMETYPES, f"public, max-age={YEAR}, immutable")  # an address has a digest

    @docs.get("/openapi.json")
    def describe() -> Response:
        return document.current().respond(request)

    @docs.get("/docs")
    def show() -> Response:
        return _page(digests)

    @docs.get("/docs/<name>")
    def asset(name: str) -> Response:
        return assets.get(name).respond(request)

    return docs


def _page(digests: Mapping[str, str]) -> Response:
    response = make_response(render_template("docs.html", versions=digests))
    response.cache_control.no_cache = True
    response.content_security_policy = _CSP
    return response


def fetch_document(instances: Sequence[ServiceClient]) -> dict[str, Any]:
    """A service's own document, from the first of its instances that answers.

    :raise UpstreamFailed: none does.
    """
    for client in instances:
        with suppress(ShopError):
            return client.call("GET", "/openapi.json", seconds=SECONDS)  # type: ignore[no-any-return]
    raise UpstreamFailed("No instance describes itself.")


class MergedDocument:
    """What all services say, merged anew when somebody asks for it and some of it may have changed."""

    def __init__(self, fetch: Mapping[str, Fetch], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._due = dict.fromkeys(fetch, float("-inf"))
        self._apis: dict[str, ServiceApi] = {}
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
        due = {name: partial(_api, name, fetch) for name, fetch in self._fetch.items() if now >= self._due[name]}
        if due:
            self._apis |= {name: api for name, api in call_all(due, SECONDS).items() if api}
            self._due |= {name: now + (FRESH_SECONDS if name in self._apis else RETRY_SECONDS) for name in due}
        if due or self._answer is None:
            document = merge({name: self._apis.get(name) for name in self._fetch})
            if self._answer is None or document != self._answer.body:
                self._answer = StaticAnswer(document, "application/json", "no-cache")
        return self._answer


def _api(service: str, fetch: Fetch) -> ServiceApi | None:
    try:
        return routed_api(service, fetch())
    except Exception as error:  # nothing that is wrong with one service may hide the others
        logger.warning("the API of %s stays as it was known: %s", service, type(error).__name__)
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
