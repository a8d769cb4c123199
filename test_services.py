#!/usr/bin/env python3
"""Smoke test of a running shop: every service by itself, then a customer's whole visit through the gateway.

Needs nothing but Python. Prints a ✓ or ✗ a step and exits with 1 if one failed; can be run again and again.
The shop is looked for on this machine; GATEWAY_URL, AUTH_SERVICE_URL, PROFILE_SERVICE_URL, PRODUCT_SERVICE_URL,
CART_SERVICE_URL, ORDER_SERVICE_URL and SUPPORT_SERVICE_URL say otherwise. Of a shop elsewhere, of which only the
gateway can be reached, `--gateway-only` tests the visit alone.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

TIMEOUT_SECONDS = 15
GREEN, RED, BOLD, PLAIN = ("\033[32m", "\033[31m", "\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "", "", "")
SERVICES = ("auth", "profile", "product", "cart", "order", "support")
URLS = {
    name: os.environ.get(f"{name}_URL", f"http://localhost:{port}").rstrip("/")
    for port, name in enumerate(["GATEWAY", *(f"{service.upper()}_SERVICE" for service in SERVICES)], start=5000)
}
ADDRESS = {
    "recipient": "Smoke Tester",
    "address_line1": "1 Test Street",
    "city": "Testville",
    "state": "OR",
    "postal_code": "97201",
    "country": "US",
}
CARD = {
    "card_number": "4242 4242 4242 4242",
    "exp_month": 12,
    "exp_year": time.gmtime().tm_year + 3,
    "cvc": "123",
    "cardholder_name": "Smoke Tester",
}
REVIEW = {"rating": 5, "comment": "Does what it should."}


class Failed(Exception):
    """A step did not go as it should; the message says how it went instead."""


class Response:
    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Talks to one base URL, as somebody once there is a token."""

    def __init__(self, base_url: str, token: str = "") -> None:
        self.base_url, self.token = base_url, token

    def __call__(
        self, method: str, path: str, body: object = None, *, expect: int | tuple[int, ...] = 200, **headers: str
    ) -> Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        answer = _send(urllib.request.Request(self.base_url + path, data, headers, method=method))  # noqa: S310
        if answer.status not in (expect if isinstance(expect, tuple) else (expect,)):
            raise Failed(f"{method} {path} answered {answer.status}: {answer.content[:300].decode(errors='replace')}")
        return answer


def _send(request: urllib.request.Request) -> Response:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return Response(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, dict(error.headers), error.read())
    except OSError as error:
        raise Failed(f"{request.full_url} does not answer: {error}") from None


def require(condition: object, otherwise: str) -> None:
    if not condition:
        raise Failed(otherwise)


class Report:
    """Runs the steps, prints a line each, and counts."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def part(self, title: str) -> None:
        print(f"\n{BOLD}{title}{PLAIN}")

    def step(self, name: str, action: Callable[[], Any]) -> Any:
        """What the action returns, or None when it failed."""
        try:
            result = action()
        except (Failed, LookupError, TypeError, ValueError) as error:
            self.failed += 1
            print(f"  {RED}✗{PLAIN} {name}\n      {type(error).__name__}: {error}")
            return None
        self.passed += 1
        print(f"  {GREEN}✓{PLAIN} {name}")
        return result


def sign_in(client: Client, username: str, password: str = "password123") -> Any:  # noqa: S107 - the demonstration's
    session = client("POST", "/login", {"username": username, "password": password}).json
    client.token = session["access_token"]
    return session


def new_customer() -> dict[str, str]:
    name = f"smoke-{uuid.uuid4().hex[:12]}"
    return {"username": name, "email": f"{name}@example.com", "password": "correct horse battery"}


def each_service(report: Report) -> None:
    services = {name: Client(URLS[f"{name.upper()}_SERVICE"]) for name in SERVICES}
    auth, profile, product, cart, order, support = services.values()

    report.part("Every service by itself")
    for name, service in services.items():
        report.step(f"{name}: ready", partial(service, "GET", "/health/ready"))
        report.step(f"{name}: describes itself", partial(service, "GET", "/openapi.json"))
    for service, path in ((profile, "/profile"), (cart, "/cart"), (order, "/orders"), (support, "/tickets")):
        report.step(f"{path[1:]}: refused to strangers", partial(service, "GET", path, expect=401))

    session = report.step("auth: alice signs in", lambda: sign_in(auth, "alice")) or {}
    for service in services.values():
        service.token = session.get("access_token", "")
    report.step("auth: says whose token it is", lambda: auth("POST", "/validate").json["user"]["username"])
    report.step("profile: alice's profile", lambda: profile("GET", "/profile").json["first_name"])
    report.step("profile: alice's addresses", lambda: profile("GET", "/addresses").json[0]["city"])
    report.step("profile: her payment method 1", lambda: _alices_first_card(profile))
    report.step("product: the catalogue", lambda: product("GET", "/products").json[0]["price"])
    report.step("product: categories", lambda: product("GET", "/categories").json[0])
    report.step("product: search", lambda: product("GET", "/search?q=lamp").json[0]["name"])
    report.step("product: alice's favourites", lambda: product("GET", "/favorites").json)
    report.step("product: a review", lambda: product("POST", "/products/1/reviews", REVIEW, expect=(200, 201)))
    report.step("cart: alice's cart", lambda: cart("GET", "/cart").json["total"])
    report.step("order: alice's orders", lambda: order("GET", "/orders").json[0]["total_amount"])
    report.step("support: alice's tickets", lambda: support("GET", "/tickets").json[0]["subject"])
    report.step("internal routes refuse people", lambda: product("POST", "/internal/reservations", {}, expect=403))


def _alices_first_card(profile: Client) -> None:
    ids = [method["id"] for method in profile("GET", "/payment-methods").json]
    require(1 in ids, f"alice has the payment methods {ids}")


def whole_visit(report: Report) -> None:
    shop = Client(URLS["GATEWAY"])
    me = new_customer()

    report.part("A customer's visit through the gateway")
    report.step("the gateway and all services are well", lambda: shop("GET", "/health"))
    report.step("it says who it is", lambda: shop("GET", "/").json["services"])
    report.step("validate and internal routes are hidden", lambda: _hidden(shop))
    report.step("register", lambda: shop("POST", "/register", me, expect=201))
    report.step("the same name again is a conflict", lambda: shop("POST", "/register", me, expect=409))
    session = report.step("sign in", lambda: sign_in(shop, me["username"], me["password"]))
    if session is None:
        return
    report.step("fill in the profile", lambda: shop("PUT", "/profile", {"first_name": "S.", "phone": "555-123-4567"}))
    report.step("add an address", lambda: shop("POST", "/addresses", ADDRESS, expect=201).json["id"])
    card = report.step("add a card", lambda: shop("POST", "/payment-methods", CARD, expect=201).json["id"])
    product = report.step("find what is in stock", lambda: shop("GET", "/products?in_stock=true").json[0]) or {"id": 1}
    report.step("look at it under /api too", lambda: shop("GET", f"/api/products/{product['id']}").json["name"])
    report.step("look at its picture", lambda: _picture(shop, product["image_url"]))
    report.step("search for it", lambda: shop("GET", "/search?q=lamp").json[0])
    report.step("make it a favourite", lambda: _favourite(shop, product["id"]))
    report.step("review it", lambda: shop("POST", f"/products/{product['id']}/reviews", REVIEW, expect=201))
    report.step("put two of it into the cart", lambda: _fill_cart(shop, product))
    report.step("more than there is is a conflict", lambda: _too_many(shop))
    order = report.step("check out", lambda: _check_out(shop, card)) or {"id": 0}
    report.step("the cart is empty again", lambda: require(not shop("GET", "/cart").json["items"], "it is not"))
    report.step("see the order", lambda: shop("GET", f"/orders/{order['id']}").json["items"][0])
    report.step("a declined card is a 402", lambda: _declined(shop, product))
    report.step("cancel the order", lambda: _cancel(shop, order["id"]))
    report.step("the stock is as before", lambda: _stock_is(shop, product))
    report.step("others do not see it", lambda: _others_do_not_see(order["id"]))
    ticket = report.step("open a ticket", lambda: _open_ticket(shop)) or {"id": 0}
    report.step("chat over Socket.IO", lambda: _chat(shop, ticket["id"]))
    report.step("close the ticket", lambda: shop("PUT", f"/tickets/{ticket['id']}/close"))
    report.step("a wrong body names its field", lambda: _names_the_field(shop))
    report.step("refresh the session", lambda: _refresh(shop, session))
    report.step("sign out, everywhere at once", lambda: _sign_out(shop))


def _hidden(shop: Client) -> None:
    tokens = ("/validate", "/auth/validate", "/token", "/auth/token")
    for path in (*tokens, "/internal/reservations", "/api/internal/events"):
        shop("POST", path, {}, expect=404)


def _picture(shop: Client, address: str) -> None:
    kind = Client("")("GET", urllib.parse.urljoin(shop.base_url, address)).headers.get("Content-Type", "")
    require(kind.startswith("image/"), f"{address} is {kind}")


def _favourite(shop: Client, product_id: int) -> None:
    shop("POST", "/favorites", {"product_id": product_id}, expect=201)
    shop("POST", "/favorites", {"product_id": product_id}, expect=200)
    require([each["id"] for each in shop("GET", "/favorites").json] == [product_id], "it is not among the favourites")
    shop("DELETE", f"/favorites/{product_id}", expect=204)


def _fill_cart(shop: Client, product: Any) -> None:
    for _ in range(2):
        shop("POST", "/cart/items", {"product_id": product["id"], "quantity": 1}, expect=201)
    cart = shop("GET", "/cart").json
    require([line["quantity"] for line in cart["items"]] == [2], f"the cart holds {cart['items']}")
    require(abs(cart["total"] - 2 * product["price"]) < 0.005, f"the total is {cart['total']}")


def _too_many(shop: Client) -> None:
    scarce = min(shop("GET", "/products?per_page=100").json, key=lambda each: each["stock"])
    wanted = {"product_id": scarce["id"], "quantity": min(99, scarce["stock"] + 1)}
    refused = shop("POST", "/cart/items", wanted, expect=409).json
    require(refused["available"] == scarce["stock"], f"it says that {refused['available']} are available")


def _check_out(shop: Client, card: int) -> Any:
    body, key = {"payment_method_id": card, "shipping_address": ADDRESS}, str(uuid.uuid4())
    order = shop("POST", "/orders", body, expect=201, Idempotency_Key=key).json
    again = shop("POST", "/orders", body, expect=201, Idempotency_Key=key).json
    require(order["id"] == again["id"], "the same Idempotency-Key bought twice")
    require((order["status"], order["payment_status"]) == ("confirmed", "paid"), f"the order is {order['status']}")
    return order


def _declined(shop: Client, product: Any) -> None:
    card = shop("POST", "/payment-methods", {**CARD, "card_number": "4000 0000 0000 0002"}, expect=201).json["id"]
    shop("POST", "/cart/items", {"product_id": product["id"], "quantity": 1}, expect=201)
    shop("POST", "/orders", {"payment_method_id": card, "shipping_address": ADDRESS}, expect=402)
    shop("DELETE", "/cart", expect=204)


def _cancel(shop: Client, order_id: int) -> None:
    order = shop("DELETE", f"/orders/{order_id}/cancel").json
    require((order["status"], order["payment_status"]) == ("cancelled", "refunded"), f"the order is {order['status']}")


def _stock_is(shop: Client, product: Any) -> None:
    stock = shop("GET", f"/products/{product['id']}").json["stock"]
    require(stock == product["stock"], f"it was {product['stock']} and is {stock}")


def _others_do_not_see(order_id: int) -> None:
    bob = Client(URLS["GATEWAY"])
    sign_in(bob, "bob")
    bob("GET", f"/orders/{order_id}", expect=404)


def _open_ticket(shop: Client) -> Any:
    ticket = shop("POST", "/tickets", {"subject": "Smoke", "message": "Is anybody there?"}, expect=201).json
    shop("POST", f"/tickets/{ticket['id']}/messages", {"message": "Hello?"}, expect=201)
    messages = [each["message"] for each in shop("GET", f"/tickets/{ticket['id']}").json["messages"]]
    require(messages == ["Is anybody there?", "Hello?"], f"the ticket says {messages}")
    return ticket


def _chat(shop: Client, ticket_id: int) -> None:
    """Speak Socket.IO 5 over Engine.IO 4's long polling by hand: connect, join, say something, hear it."""
    path = "/socket.io/?EIO=4&transport=polling"
    path += "&sid=" + json.loads(shop("GET", path).content[1:])["sid"]

    def send(packet: str) -> None:
        shop("POST", path, packet.encode(), Content_Type="text/plain;charset=UTF-8")

    def wait_for(start: str) -> str:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for packet in shop("GET", path).content.decode().split("\x1e"):
                if packet == "2":
                    send("3")
                if packet.startswith(start):
                    return packet
        raise Failed(f"no packet {start}… came in time")

    send("40" + json.dumps({"token": shop.token}))
    wait_for('40{"sid"')
    send("421" + json.dumps(["join_chat", {"ticket_id": ticket_id}]))
    wait_for("431")
    send("42" + json.dumps(["chat_message", {"ticket_id": ticket_id, "message": "over the socket"}]))
    require("over the socket" in wait_for('42["new_message"'), "another message came back")
    send("1")


def _names_the_field(shop: Client) -> None:
    problem = shop("POST", "/cart/items", {"product_id": 1, "quantity": 0}, expect=422)
    require(problem.headers["Content-Type"] == "application/problem+json", problem.headers["Content-Type"])
    require(problem.json["errors"][0]["field"] == "quantity", f"it names {problem.json['errors']}")


def _refresh(shop: Client, session: Any) -> None:
    refreshed = Client(shop.base_url, session["refresh_token"])("POST", "/refresh").json
    shop.token = refreshed["access_token"]
    shop("GET", "/profile")


def _sign_out(shop: Client) -> None:
    shop("POST", "/logout")
    for path in ("/profile", "/cart", "/orders", "/tickets", "/favorites"):
        shop("GET", path, expect=401)


def main() -> int:
    report = Report()
    if "--gateway-only" not in sys.argv:
        each_service(report)
    whole_visit(report)
    print(f"\n{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
