"""More plain requests than one asks for in good faith."""

import json
import os
from collections.abc import Callable
from itertools import count

from hostile.attacker import Attacker
from hostile.wire import ask, request

SEVERAL = 20  # addresses at once


def unknown_paths(attack: Attacker) -> None:
    _flood(attack, lambda me, number: request("GET", f"/{os.urandom(8).hex()}/{number}"))


def preflights(attack: Attacker) -> None:
    fields = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PUT"}
    _flood(attack, lambda me, number: request("OPTIONS", f"/cart/items/{number}", headers=fields))


def own_pages(attack: Attacker) -> None:
    """What the gateway answers itself; it gathers some of that from the services."""
    pages = ("/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json", "/", "/metrics")
    pages += ("/health", "/health/ready", "/health/live")
    _flood(attack, lambda me, number: request("GET", pages[(me + number) % len(pages)]))


def pictures(attack: Attacker) -> None:
    names = ("camping-lantern", "canvas-tote", "card-wallet", "nothing-here")
    _flood(attack, lambda me, number: request("GET", f"/images/{names[number % len(names)]}.svg"))


def searches(attack: Attacker) -> None:
    words = "".join(map(chr, range(ord("a"), ord("z") + 1)))
    targets = [
        f"{path}={first}{second}{more}"
        for path, more in (("/search?q", "&per_page=100"), ("/products?sort=rating&page=999999&q", "&per_page=100"))
        for first in words
        for second in words
    ]
    _flood(attack, lambda me, number: request("GET", targets[(31 * me + number) % len(targets)]))


def tokens_of_nobody(attack: Attacker) -> None:
    """Each has to be asked about, as nobody has seen it before: made up, forged, or as long as a header may be."""
    head, _, _ = attack.target.token.rpartition(".")

    def ask(me: int, number: int) -> bytes:
        made_up = (os.urandom(60).hex(), f"{head}.{os.urandom(32).hex()}", os.urandom(20).hex() * 200)
        return request("GET", ("/cart", "/orders")[number % 2], token=made_up[number % len(made_up)])

    _flood(attack, ask)


def idempotency_keys(attack: Attacker) -> None:
    """Every request is written down with a key of its own."""

    def keyed(me: int, number: int) -> bytes:
        body = {"product_id": 1 + number % 3, "quantity": 1}
        return request("POST", "/cart/items", body, attack.target.token, {"Idempotency-Key": os.urandom(100).hex()})

    _flood(attack, keyed)


def writes_of_one_account(attack: Attacker) -> None:
    """Whatever an account may write, as often as it is let: rows pile up, events go out."""
    address = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}
    wanted = (
        ("POST", "/tickets", {"subject": "x" * 200, "message": "y" * 5000}),
        ("POST", f"/tickets/{attack.target.ticket}/messages", {"message": "y" * 5000}),
        ("POST", "/addresses", address),
        ("POST", "/products/1/reviews", {"rating": 5, "comment": "z" * 2000}),
        ("POST", "/favorites", {"product_id": 1}),
        ("DELETE", "/favorites/1", None),
        ("POST", "/cart/items", {"product_id": 2, "quantity": 1}),
        ("POST", "/orders", {"payment_method_id": 10**6, "shipping_address": "1 Test Street"}),
    )

    def write(me: int, number: int) -> bytes:
        method, target, body = wanted[number % len(wanted)]
        return request(method, target, body, attack.target.token)

    _flood(attack, write)


def methods_that_nobody_knows(attack: Attacker) -> None:
    _flood(attack, lambda me, number: request("PROPFIND", "/products"))


def checkouts(attack: Attacker) -> None:
    """As many as ten addresses may have in progress, with a card that is declined so that the cart is full again."""
    token = attack.target.token
    card = {"card_number": "4000000000000002", "cvc": "123", "exp_month": 1, "exp_year": 2090, "cardholder_name": "A"}
    with attack.connect() as client:
        method = json.loads(ask(client, request("POST", "/payment-methods", card, token)).body)["id"]
    for product in range(1, 9):
        attack.ask(request("POST", "/cart/items", {"product_id": product, "quantity": 1}, token))
    order = request("POST", "/orders", {"payment_method_id": method, "shipping_address": "1 Test Street"}, token)
    attack.crowd(160, lambda me: attack.ask_again_and_again(lambda _: order, me // 16))


def pages_of_long_messages(attack: Attacker) -> None:
    """Two megabytes each, as many as ten addresses may have in progress."""
    token, messages = attack.target.token, f"/tickets/{attack.target.ticket}/messages"
    long = request("POST", messages, {"message": "\U0001f600" * 4900}, token)
    with attack.attempt(), attack.connect() as client:
        for _ in range(100):
            ask(client, long)
    page = request("GET", f"{messages}?per_page=100", token=token)
    attack.crowd(160, lambda me: attack.ask_again_and_again(lambda _: page, me // 16))


def refused_by_the_server(attack: Attacker) -> None:
    """Heads that never reach the app: 400, 414, 431, each followed by a body that nobody reads."""
    heads = (
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: a\r\n" * 120 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + b"x" * 100_000,
    )

    def send(me: int) -> None:
        for number in count():
            if not attack.goes_on():
                return
            attack.ask(heads[number % len(heads)], me)

    attack.crowd(SEVERAL, send)


def new_connections(attack: Attacker) -> None:
    """A connection for each request."""
    wanted = request("GET", "/products", headers={"Connection": "close"})

    def send(me: int) -> None:
        while attack.goes_on():
            attack.ask(wanted, me)

    attack.crowd(SEVERAL, send)


def _flood(attack: Attacker, make: Callable[[int, int], bytes]) -> None:
    """:param make: a request, for the number of who sends it and how many that one has sent before."""
    attack.crowd(SEVERAL, lambda me: attack.ask_again_and_again(lambda number: make(me, number), me))


ATTACKS = (
    unknown_paths,
    preflights,
    own_pages,
    pictures,
    searches,
    tokens_of_nobody,
    idempotency_keys,
    writes_of_one_account,
    methods_that_nobody_knows,
    checkouts,
    pages_of_long_messages,
    refused_by_the_server,
    new_connections,
)
