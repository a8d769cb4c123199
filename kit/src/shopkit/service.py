"""A Flask service with all that every service of the shop has: one call, a list of `init_app` calls."""

import inspect
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from flask import Flask, Request, Response, current_app, request
from flask_openapi3 import APIBlueprint, Info, OpenAPI
from flask_sqlalchemy import SQLAlchemy
from pydantic import BaseModel
from requests.adapters import BaseAdapter
from werkzeug.exceptions import RequestURITooLarge, UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from shopkit import (
    __version__,
    auth,
    background,
    database,
    errors,
    headers,
    health,
    idempotency,
    logs,
    metrics,
    prepare,
    retention,
)
from shopkit.errors import BadRequest, Invalid, Problem
from shopkit.http_client import ServiceClient
from shopkit.json_provider import OrjsonProvider
from shopkit.private_files import keep_private
from shopkit.schema_revision import SchemaCheck
from shopkit.schemas import MAX_ID, refuse_excess, refuse_excess_unread
from shopkit.settings import ServiceSettings

MAX_BODY_BYTES = 1024 * 1024
MOST_QUERY_BYTES = 8190  # as gunicorn has it, at most

# Control characters that JSON writes with six bytes, unlike line ends.
_CONTROL = re.compile(rb"\\u00(?:0[0-7bBeEfF]|1[0-9a-fA-F])")

ViewResult = BaseModel | Response | tuple[BaseModel | str, int] | tuple[BaseModel | str, int, dict[str, str]]
"""What a view returns; Flask's own ResponseReturnValue cannot be read at run time, and flask-openapi3 does so."""

_REASONS = {
    "401": "Not signed in",
    "403": "Not allowed",
    "404": "Absent, or not yours",
    "422": "Fields that do not validate",
    "default": "Any other error",
}


def create_service(
    import_name: str,
    name: str,
    settings: ServiceSettings,
    *,
    apis: Sequence[APIBlueprint],
    db: SQLAlchemy | None = None,
    who_is: auth.WhoIs | None = None,
    needs: Sequence[ServiceClient] = (),
    adapter: BaseAdapter | None = None,
) -> "Service":
    """Wire a service.

    :param db: its own database.
    :param who_is: how to tell whose a token is; the auth service is asked if nothing is given.
    :param needs: other services that it cannot work without; it is not ready while one of them is away.
    :param adapter: the network to other services, for tests.
    """
    app = Service(import_name, name)
    app.secret_key = settings.secret_key
    app.config.update(SERVICE_NAME=name, PORT=settings.port, MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    logs.init_app(app)
    metrics.init_app(app)
    errors.init_app(app)
    headers.init_app(app)
    app.before_request(_refuse_query)
    app.before_request(_refuse_repeated)
    checks = {each.name: each.ping for each in needs}
    if db is not None:
        database.init_app(app, db, settings.database_uri)
        idempotency.init_app(app, db, settings)
        retention.init_app(app, db, settings)
        app.config["MIGRATE_AT_START"] = settings.migrate_at_start
        checks["database"] = _database_check(app, db)
    if who_is is None:
        auth_service = ServiceClient("auth-service", settings.auth_service_url, adapter)
        who_is = auth.ask_auth(auth_service)
        checks[auth_service.name] = auth_service.ping
    auth.init_app(app, who_is)
    health.init_app(app, name, checks)
    for api in apis:
        app.register_api(api)
    return app


def _database_check(app: Flask, db: SQLAlchemy) -> Callable[[], None]:
    is_new_enough = SchemaCheck(app, db)

    def works() -> None:
        database.ping(db)
        is_new_enough()

    return works


class Service(OpenAPI):
    """Flask, strict about bodies, fluent in pydantic, and describing itself at `/openapi.json`."""

    def __init__(self, import_name: str, name: str) -> None:
        super().__init__(
            import_name,
            info=Info(title=name, version=__version__),
            security_schemes={"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            validation_error_model=Problem,
            validation_error_callback=errors.invalid_fields,
            doc_ui=False,
            static_folder=None,
        )
        self.json = OrjsonProvider(self)
        self.request_class = StrictRequest
        self.url_map.converters["int"] = _RowId
        self.url_map.merge_slashes = False  # a redirect would repeat the Host
        self.add_url_rule("/openapi.json", view_func=auth.public(lambda: self.api_doc), endpoint="openapi")
        # The gateway, one hop away, says what the outside called us; it replaces whatever a client claims.
        self.wsgi_app = ProxyFix(self.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]

    def register_api(self, api: APIBlueprint, **options: Any) -> None:
        if twice := self.paths.keys() & api.paths.keys():
            raise ValueError(f"{twice} stands in two blueprints, and the document would show only the last one")
        super().register_api(api, **options)

    def make_response(self, rv: Any) -> Response:
        """Views may return a pydantic model where Flask takes a dict."""
        if isinstance(rv, tuple) and isinstance(rv[0], BaseModel):
            return super().make_response((self._as_json(rv[0]), *rv[1:]))
        return super().make_response(self._as_json(rv) if isinstance(rv, BaseModel) else rv)

    def _as_json(self, model: BaseModel) -> Response:
        return self.response_class(model.model_dump_json(), mimetype="application/json")

    def generate_spec_json(self) -> None:
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for rule in self.url_map.iter_rules():
            path = self.spec_json["paths"].get(_openapi_path(rule.rule), {})
            for method in rule.methods or ():
                if method.lower() in path:
                    self._describe(path[method.lower()], rule.endpoint, rule.rule)

    def _describe(self, operation: dict[str, Any], endpoint: str, rule: str) -> None:
        """Say who may call it and how it fails, from what really guards it."""
        roles = auth.allowed_roles(self, endpoint, rule)
        failures = ["default"]
        if idempotency.is_idempotent(self, endpoint):
            operation.setdefault("parameters", []).append(idempotency.PARAMETER)
        if "requestBody" in operation or operation.get("parameters"):
            failures.append("422")
        if "{" in _openapi_path(rule):
            failures.append("404")
        if roles is not auth.EVERYONE:
            operation["security"] = [{"bearer": []}]
            failures += ["401", "403"]
        if "422" not in failures:
            operation["responses"].pop("422", None)
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
        for status in failures:
            operation["responses"][status] = {
                "description": _REASONS[status],
                "content": {errors.PROBLEM_JSON: schema},
            }


class StrictRequest(Request):
    """A body is read as a JSON object or refused with the reason."""

    def get_json(self, *_: Any, **__: Any) -> Any:
        # flask-openapi3 asks silently and would take a missing body for a null one; we say what is wrong instead.
        if self.mimetype != "application/json" and not self.mimetype.endswith("+json"):
            raise UnsupportedMediaType("Send the body as application/json.")
        data = self.get_data()
        refuse_excess_unread(data)
        try:
            body = orjson.loads(data)
        except ValueError:
            raise BadRequest("The body is not valid JSON.", code="unreadable_body") from None
        if not isinstance(body, dict):
            raise Invalid.field("body", "must be a JSON object")
        if b"\\u00" in data and _CONTROL.search(data.replace(rb"\\", b"")):  # without backslashes of the text itself
            raise BadRequest("The body contains a control character.", code="unreadable_body")
        refuse_excess(body)
        return body


def _up_to(most: int) -> str:
    """A pattern for the digits of the numbers up to this one."""
    digits = str(most)
    shorter = f"[0-9]{{1,{len(digits) - 1}}}"
    less = [
        f"{digits[:at]}[0-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if digit != "0"
    ]
    return "|".join([shorter, *less, digits])


class _RowId(IntegerConverter):
    """Numbers in paths fit the database's ids; for a larger one there is no path at all, and it is never converted."""

    regex = _up_to(MAX_ID)


def _refuse_query() -> None:
    """PostgreSQL cannot store NUL characters, so nothing may bring one in. What is too long is not even read."""
    if len(request.query_string) > MOST_QUERY_BYTES:
        raise RequestURITooLarge
    if b"%00" in request.query_string:
        raise BadRequest("The query contains a NUL character.")


def _refuse_repeated() -> None:
    """Of a parameter that is given twice one would be dropped, unless it is a list."""
    if not request.endpoint:
        return  # the 404 or 405 follows
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    found = [{"field": name, "message": "is given more than once"} for name in repeated if not _is_list(name)]
    if found:
        raise Invalid.fields(found)


def _is_list(parameter: str) -> bool:
    """Whether the route says so in the API document, which is also what flask-openapi3 looks at."""
    view = inspect.unwrap(current_app.view_functions[str(request.endpoint)])
    query: dict[str, Any] = getattr(view.__annotations__.get("query"), "model_json_schema", dict)()
    field = query.get("properties", {}).get(parameter, {})
    return "array" in {each.get("type") for each in (field, *field.get("anyOf", ()))}


def _openapi_path(rule: str) -> str:
    """`/orders/<int:order_id>` as OpenAPI writes it: `/orders/{order_id}`."""
    parts = [f"{{{part[1:-1].rpartition(':')[2]}}}" if part.startswith("<") else part for part in rule.split("/")]
    return "/".join(parts)


def run(app: Flask) -> None:
    """Serve during development, as `python app.py` does, once the database is prepared."""
    keep_private("instance")
    logs.set_up(app.config["SERVICE_NAME"])
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    prepare.at_start(app)
    background.start(app)
    app.run(port=app.config["PORT"], threaded=True)
