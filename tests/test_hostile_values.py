"""Whatever stands in a request, no answer is a failure of ours, none costs a tenth of a second, and no error is large.

Each parameter, header and field of each documented route gets values that are cheap to send and dear to convert, in a
request that is in order otherwise. The time is that of the process, not of the clock. Passwords are hashed by a quick
hasher: that the real one takes longer is what it is for, and how many may be hashed at once is bounded elsewhere.
"""

import gc
import json
import time
from base64 import urlsafe_b64encode
from itertools import chain
from urllib.parse import quote
from uuid import UUID

import pytest

from shop_services import SERVICES
from shopkit.events.types import KINDS, subscribed_by

MOST_SECONDS = 0.1
MOST_BYTES = 20_000  # of an error
LONG = 5000
MEGABYTE = 1_000_000

NUMBERS = [
    "1e999990",
    "-1e999990",
    "1e-999990",
    f"0.{'0' * LONG}1",
    "1" * LONG,
    "-" + "9" * LONG,
    "1" * 5000,
    "1e300",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
]
LETTERS = [
    "\0",
    "a" * LONG,
    "1 " * LONG,
    "a-" * LONG,
    "a@" * LONG,
    f"a{' ' * 2000}b",
    f"{'a.' * 1000}@{'x.' * 1000}com",
    "e\u0300\u0316" * 4 * LONG,  # marks that normalisation has to sort
    "\ufdfa" * LONG,  # eighteen letters each, when it is done
    "\u0130\u03a3" * LONG,
    "\ufb03" * 40,
]
TEXTS = [
    *NUMBERS,
    *LETTERS,
    "NaN",
    "-Infinity",
    "1_000",
    "\u0661\u0662",
    " 1 ",
    "",
    "%",
    " " * LONG,
    "-" * LONG,
    "," * LONG,
    "1," * LONG,
    "(" * LONG,
    '"' * LONG,
    "../" * 1000,
    "\U0001f600" * 40,
]
DEEP = 330, LONG
JSON = [
    *NUMBERS,
    *(json.dumps(text) for text in (*NUMBERS, *LETTERS)),
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    *("[" * levels + "]" * levels for levels in DEEP),
    *('{"a":' * levels + "1" + "}" * levels for levels in DEEP),
    json.dumps([1] * LONG),
    json.dumps([{}] * LONG),
    json.dumps([[]] * LONG),
    json.dumps([{"a": 1}] * 99),
    json.dumps(dict.fromkeys(map(str, range(LONG)), 1)),
    json.dumps({"x" * LONG: 1}),
    '"\\ud800"',
]
BODIES = [
    "",
    "{",
    "\\" * LONG,
    '{"a": "' + "\\\\" * LONG + 'u0000"}',
    *(f'{{"a": {each}}}' for each in JSON if not each.startswith('"')),
    json.dumps(dict.fromkeys((f"field {number}" for number in range(50_000)), 1)),
    json.dumps({"x" * MEGABYTE: 1}),
    "[" * MEGABYTE,
]
QUERIES = ["&".join(f"{n}=1" for n in range(LONG)), "a" * LONG, "a=1&" * LONG, "&" * LONG, "%00", "%ff=%ff"]


def _token(header, claims="{}"):
    return ".".join([*(urlsafe_b64encode(each.encode()).decode().rstrip("=") for each in (header, claims)), "x"])


TOKENS = [
    *(
        _token(f'{{"alg": {alg}}}')
        for alg in ('"none"', '"RS256"', '["HS256"]', "5", "null", '{"HS256": 1}', '"HS256"')
    ),
    _token('{"alg": "HS256", "crit": ["b64"], "b64": false, "kid": 5, "jwk": {}}'),
    _token("[]", "[]"),
    *(_token(f'{{"alg": "HS256", "x": {each}}}') for each in ("9" * LONG, "1e999990", "[" * LONG, "NaN")),
    _token("[" * 2900 + "]" * 2900),
    _token('{"alg": "HS256"}', "[" * LONG),
    "." * 8000,
    "=" * 8000,
]
HEADERS = {
    "Authorization": [
        *("Bearer", "Bearer  ", "Basic x", "Bearer {}", "Bearer a.b.c"),
        *(f"Bearer {each}" for each in TOKENS),
    ],
    "Content-Type": ["application/json;{}", "{}", "application/{}+json"],
    "Content-Length": ["1" * 5000],
    "X-Public-Url": [],
    **{
        name: []
        for name in (
            *("Accept", "Cookie", "Host", "X-Request-ID", "Idempotency-Key"),
            *("If-Match", "If-None-Match", "If-Modified-Since", "If-Range", "Range"),
            *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Stripe-Signature"),
        )
    },
}
HEADER_BYTES = 8000
PATH_LETTERS = 2500  # of a path or a query, each of which may become three bytes
PATTERNS = ['"a",', "a ", ";a*0*=x", "=", ",", "1", "(", "[", '\\"', "eyJ", "W1tb", "\xe9"]

# Values that get past validation, of fields whose schema alone does not say enough.
EXAMPLES = {
    "username": "somebody",
    "email": None,
    "password": "a password",
    "card_number": "4242 4242 4242 4242",
    "cvc": "123",
    "exp_month": 5,
    "exp_year": 2090,
    "category": "home",
    "image_url": "/images/lamp.svg",
    "phone": "555-123-4567",
    "grant_type": "client_credentials",
    "old_price": None,
    "address_id": None,
    "occurred_at": "2026-01-01T00:00:00Z",
    "status": "cancelled",
    "expected_total": None,
    "stock": 3,
}
CART = {
    "id": 11,
    "version": 3,
    "items": [
        {"product_id": 1, "product_name": "Lamp", "product_image": None, "price": 2, "quantity": 1, "problems": []}
    ],
    "in_checkout": None,
    "total": 2,
    "currency": "USD",
}
SOLD = {"id": 1, "name": "Lamp", "image_url": None, "price": 19.99, "stock": 10}
CARD = {"id": 1, "user_id": 1, "provider": "sandbox", "provider_token": "sandbox_succeeds_1", "brand": "visa"}


@pytest.fixture
def partners(network):
    """All other services are well."""
    network.on("GET", "/health/live", {"status": "ok"})
    network.on("POST", "/token", {"access_token": "ours", "expires_in": 600})
    network.on("GET", "/products", [SOLD])
    network.on("GET", "/internal/products", [])
    network.on("GET", "/cart", CART)
    network.on("GET", "/addresses/*", {"id": 1, "address_line1": "1 Street"})
    network.on("GET", "/addresses", [{"id": 1, "address_line1": "1 Street"}])
    network.on("GET", "/internal/payment-methods/*", {**CARD, "last_four": "4242"})
    network.on("POST", "/internal/claims", None, 201)
    network.on("POST", "/internal/reservations", {"items": [{"product_id": 1, "unit_price": 2}]}, 201)
    for path in ("/internal/claims/*/return", "/internal/reservations/*/commit", "/internal/reservations/*/release"):
        network.on("POST", path, {})
    network.on("POST", "/internal/reservations/*/restock", {})
    return network


@pytest.mark.parametrize("entry", SERVICES, ids=lambda entry: entry.name)
def test_no_value_is_a_failure_or_costs_much(entry, make_app, partners):
    service = Service(make_app(entry.folder, partners))
    for path, operations in service.document["paths"].items():
        for method, operation in operations.items():
            service.attack(method.upper(), path, operation)

    assert not service.findings, "\n".join(service.findings)


@pytest.fixture(autouse=True)
def no_garbage_collection():
    """What earlier tests left must not be looked through meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Service:
    """One service, and what was found about it."""

    def __init__(self, app):
        self.client = app.test_client()
        self.document = self.client.get("/openapi.json").json
        self.handles = subscribed_by(self.document["info"]["title"])
        self.findings = []
        self.sent = 0
        self.attacked = set()  # by headers, which most routes treat alike: one with a body, one without

    def attack(self, method, path, operation):
        parameters = operation.get("parameters", [])
        route = Route(self, method, path, operation)
        route.become_somebody()
        for each in parameters:
            for text in TEXTS:
                {"path": route.with_path, "query": route.with_query, "header": route.with_header}[each["in"]](
                    each["name"], text
                )
        if ("requestBody" in operation) not in self.attacked:
            route.attack_headers()
            self.attacked.add("requestBody" in operation)
        for query in QUERIES:
            route.send(f"query {query[:20]}", query=query)
        if "requestBody" in operation:
            for body in BODIES:
                route.send(f"body {body[:20]}", body=body)
            route.attack_fields()


class Route:
    def __init__(self, service, method, path, operation):
        self.service, self.method, self.path = service, method, path
        content = operation.get("requestBody", {}).get("content", {})
        self.schema = next((each["schema"] for each in content.values()), None)
        self.bodies = [self._example("", self.schema)] if self.schema else [None]
        if self.schema and self._is_optional("email"):  # a name may come under either name
            self.bodies = [{k: v for k, v in self.bodies[0].items() if k != one} for one in ("email", "username")]
        if path == "/internal/events":
            one_of_a_kind = {name.partition(".")[0]: name for name in sorted(service.handles)}
            self.bodies = [{**self.bodies[0], **self._event(name)} for name in one_of_a_kind.values()]
        self.values = {
            each["name"]: str(UUID(int=1)) if each["schema"].get("format") == "uuid" else "1"
            for each in operation.get("parameters", [])
            if each["in"] == "path"
        }
        required = {
            each["name"]: self._example(each["name"], each["schema"])
            for each in operation.get("parameters", [])
            if each["in"] == "query" and each.get("required")
        }
        self.query = "&".join(f"{n}={value[0] if isinstance(value, list) else value}" for n, value in required.items())
        self.token = "nobody's"

    def become_somebody(self):
        """Whoever may use it, and a request that is in order for them."""
        signing_in = {"username": "alice", "password": "password123"}
        if "/login" in self.service.document["paths"]:
            session = self.service.client.post("/login", json=signing_in).json
            self.token = session["refresh_token" if self.path == "/refresh" else "access_token"]
            return
        for who in ("a-service",) if self.path.startswith("/internal/") else ("alice", "admin"):
            self.token = who
            answer = self.send("as it should be")
            if answer.status_code != 403:
                break
        assert answer.status_code not in (400, 401, 403, 415, 422), (self.method, self.path, answer.text)

    def with_path(self, name, text):
        if text:
            self.send(f"{name} {text[:20]}", path={name: text[:PATH_LETTERS]})

    def with_query(self, name, text):
        others = [each for each in self.query.split("&") if each and not each.startswith(f"{name}=")]
        self.send(f"?{name}={text[:20]}", query="&".join([*others, f"{name}={quote(text[:PATH_LETTERS])}"]))

    def with_header(self, name, text):
        value = text.encode("ascii", "ignore").decode().replace("\0", "")[:HEADER_BYTES]
        self.send(f"{name}: {value[:20]}", headers={name: value})

    def attack_headers(self):
        for header, values in HEADERS.items():
            for value in chain(values, (each * (HEADER_BYTES // len(each)) for each in PATTERNS)):
                self.send(f"{header}: {value[:20]}", headers={header: value.replace("{}", ";a" * 4000)})

    def attack_fields(self):
        for body in self.bodies:
            for field in list(_fields(body)):
                written = json.dumps(_replaced(body, field))
                for value in JSON:
                    said = f"{'.'.join(map(str, field))} = {value[:20]}… of {len(value)}"
                    self.send(said, body=written.replace('"here"', value))

    def send(self, what, path=None, query=None, headers=None, body=None):
        values = {**self.values, **{name: quote(text, safe="") for name, text in (path or {}).items()}}
        sent = json.dumps(self.bodies[0]) if body is None and self.schema else body
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        query = self.query if query is None else query

        def send():
            url = self.path.format(**values)
            return self.service.client.open(url, method=self.method, query_string=query, headers=headers, data=sent)

        begin = time.perf_counter()
        answer = send()
        seconds = time.perf_counter() - begin
        if seconds > MOST_SECONDS:  # by the clock, which says little: count it
            begin = time.process_time()
            answer = send()
            seconds = time.process_time() - begin
        self.service.sent += 1
        where = f"{self.method} {self.path} {what!r}"
        if answer.status_code >= 500:
            self.service.findings.append(f"{where}: {answer.status_code}")
        if seconds > MOST_SECONDS:
            self.service.findings.append(f"{where}: {seconds * 1000:.0f} ms")
        if answer.status_code >= 400 and len(answer.data) > MOST_BYTES:
            self.service.findings.append(f"{where}: {len(answer.data)} bytes")
        return answer

    def _example(self, name, schema):
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if name in EXAMPLES:
            return f"somebody@{self.service.sent}.example.com" if name == "email" else EXAMPLES[name]
        if "default" in schema:
            return schema["default"]
        kind = schema.get("type")
        if kind == "object":
            return {each: self._example(each, of) for each, of in schema.get("properties", {}).items()}
        if kind == "array":
            return [self._example(name, schema["items"])]
        if kind in ("integer", "number"):
            return max(1, schema.get("minimum", 1))
        if kind == "boolean":
            return True
        if schema.get("format") == "uuid":
            return str(UUID(int=2))
        return schema.get("enum", ["USD" if name == "currency" else "1234"])[0]

    def _is_optional(self, name):
        schema = self._resolved(self.schema)
        return name in schema["properties"] and name not in schema["required"]

    def _resolved(self, schema):
        if "$ref" in schema:
            return self._resolved(self.service.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        return self._resolved({**schema, "anyOf": (), **options[0]}) if options else schema

    def _event(self, name):
        schema = KINDS[name].model_json_schema(ref_template="{model}")
        self.service.document["components"]["schemas"] |= schema.get("$defs", {})
        return {"name": name, "payload": self._example("", schema)}


def _fields(value, where=()):
    """Where in a body there is anything that can be replaced."""
    if where:
        yield where
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from _fields(each, (*where, name))


def _replaced(value, where):
    if not where:
        return "here"
    copy = value.copy()
    copy[where[0]] = _replaced(value[where[0]], where[1:])
    return copy
