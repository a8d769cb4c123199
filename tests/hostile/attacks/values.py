"""Requests that are small or plain to send and dear to read."""

import base64
import gzip
import json
from itertools import cycle

from hostile.attacker import Attacker
from hostile.wire import request

ADDRESS = "1 Test Street, Testville"
ENORMOUS = ("1e999990", "-1e999990", "1e-999990", "9" * 5000, "0." + "0" * 4000 + "1", "1e99999999999999999999", "NaN")
MEGABYTE = 1024 * 1024
HUGE = (2**31, 2**63, 2**64, 10**4000, -(2**63))


def hostile_numbers_in_queries(attack: Attacker) -> None:
    names = ("min_price", "max_price", "min_rating", "page", "per_page", "in_stock")
    targets = [f"/products?{name}={number}" for number in ENORMOUS for name in names]
    attack.crowd(4, lambda me: attack.ask_again_and_again(lambda n: request("GET", targets[n % len(targets)]), me))


def hostile_numbers_in_bodies(attack: Attacker) -> None:
    def bodies() -> list[tuple[str, str, bytes]]:
        order = '{"payment_method_id": %s, "shipping_address": "' + ADDRESS + '", "expected_total": %s}'
        found = []
        for number in ENORMOUS[:-1]:
            found += [("POST", "/orders", (order % (1, number)).encode())]
            found += [("POST", "/orders", (order % (1, f'"{number}"')).encode())]
            found += [("POST", "/orders", (order % (number, 1)).encode())]
            found += [("POST", "/cart/items", b'{"product_id": %b, "quantity": %b}' % ((number.encode(),) * 2))]
            found += [("POST", "/products/1/reviews", b'{"rating": %b, "comment": "x"}' % number.encode())]
        return found

    _send_all(attack, bodies())


def deep_json(attack: Attacker) -> None:
    bodies = []
    for depth in (330, 1000, 5000, 100_000, MEGABYTE // 2 - 100):
        bodies += [b"[" * depth + b"]" * depth, b"[" * depth]
    for depth in (330, 5000, MEGABYTE // 6 - 100):
        bodies.append(b'{"a":' * depth + b"1" + b"}" * depth)
    targets = ("/cart/items", "/orders", "/register", "/login", "/tickets", "/products/1/reviews", "/addresses")
    _send_all(attack, [("POST", target, body) for body in bodies for target in targets])


def thousands_of_unknown_fields(attack: Attacker) -> None:
    """Fields that do not exist, and lists where a value belongs: each could be complained about."""
    body = b"{%b}" % b",".join(b'"f%05d":%d' % (number, number) for number in range(65_000))
    names = b"{%b}" % b",".join(b'"%b":1' % (b"%05d" % number * 400) for number in range(480))
    targets = ("/cart/items", "/orders", "/register", "/tickets", "/addresses", "/payment-methods", "/favorites")
    wanted = [("POST", target, each) for each in (body, names) for target in targets]
    lists = b'{"product_id":[%b],"quantity":{"a":[%b]}}' % ((b"1," * 200_000 + b"1",) * 2)
    address = b'{"shipping_address":{%b},"payment_method_id":1}' % b",".join(b'"a%d":[]' % n for n in range(60_000))
    wanted += [("POST", "/cart/items", lists), ("POST", "/orders", address), ("PUT", "/profile", lists)]
    _send_all(attack, wanted)


def huge_ids(attack: Attacker) -> None:
    places = ("/products/{}", "/orders/{}", "/cart/items/{}", "/tickets/{}", "/addresses/{}", "/favorites/{}")
    wanted = [
        (method, place.format(number), b"{}")
        for number in HUGE
        for place in places
        for method in ("GET", "PUT", "PATCH", "DELETE")
    ]
    _send_all(attack, wanted)


def words_that_are_dear_to_compare(attack: Attacker) -> None:
    """Unicode normalisation, case folding, and searches for what is long."""
    marks = "a" + "\u0323\u0307" * 30_000
    ligature = "\ufdfa" * 30_000  # each becomes eighteen characters
    wanted = []
    for word in (marks, ligature):
        body = json.dumps({"username": word, "email": word, "password": "x"}, ensure_ascii=False).encode()
        wanted += [("POST", "/login", body), ("POST", "/register", body)]
    wanted += [("GET", f"/search?q={'%25' * 2000}", b""), ("GET", f"/search?q={'a+' * 2000}", b"")]
    wanted += [("GET", f"/products?category={'x' * 7000}", b""), ("GET", f"/products?{'&q=a' * 1500}", b"")]
    _send_all(attack, wanted)


def headers_that_are_dear_to_read(attack: Attacker) -> None:
    """Lists in headers as long as these may be, and tokens whose first part is JSON of the attacker's own."""
    fields = (
        ("/images/camping-lantern.svg", {"Range": "bytes=" + ",".join(["0-"] * 2500)}),
        ("/docs/swagger-ui-bundle.js", {"Range": "bytes=" + ",".join(f"{n}-{n}" for n in range(900))}),
        ("/products/1", {"If-None-Match": ",".join(['"a"'] * 2000)}),
        ("/products/1", {"If-None-Match": '"' + "\\" * 8000}),
        ("/openapi.json", {"If-Modified-Since": "Mon, " * 1600}),
        ("/products", {"Accept": ",".join(["a/b;q=0.1"] * 800), "Accept-Encoding": ",".join(["gzip;q=0.1"] * 700)}),
        ("/", {"Accept": ";" * 8000, "Accept-Language": "a-" * 4000}),
        ("/cart", {"Cookie": "a=b;" * 2000}),
        ("/cart", {"Cookie": 'a="' + "\\000" * 2000}),
        ("/products", {f"X-{number}": "a" * 300 for number in range(80)}),
        ("/products", {"X-Forwarded-For": "1.2.3.4," * 1000, "Forwarded": "for=a;" * 1300}),
        ("/products", {"X-Request-ID": "a" * 8000, "Origin": "http://" + "a." * 4000}),
    )
    heads = (
        b'{"alg":"HS256","a":' + b"[" * 5000,
        b'{"a":' * 1200 + b"1" + b"}" * 1200,
        b'{"alg":1e999990}',
        b"9" * 5900,
    )
    tokens = [f"{base64.urlsafe_b64encode(head).decode().rstrip('=')}.e30.AAAA" for head in heads]
    wanted = [request("GET", path, headers=each) for path, each in fields]
    wanted += [request("GET", "/cart", token=token) for token in tokens]
    wanted += [request("POST", "/refresh", token=token) for token in tokens]
    attack.crowd(4, lambda me: attack.ask_again_and_again(lambda n: wanted[(n + 5 * me) % len(wanted)], me))


def bodies_of_other_kinds(attack: Attacker) -> None:
    """Forms of thousands of parts, compressed bodies, and other encodings, where JSON is asked for."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    form = b"a=1&" * 250_000
    bomb = gzip.compress(bytes(20 * MEGABYTE))
    kinds = (
        ({"Content-Type": "multipart/form-data; boundary=x"}, part * 15_000),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 5000}, b"--" + b"x" * MEGABYTE),
        ({"Content-Type": "application/x-www-form-urlencoded"}, form),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, bomb),
        ({"Content-Type": "application/json; charset=utf-7"}, b'{"a": "+AGE-"}' + b" " * MEGABYTE),
        ({"Content-Type": "application/json; " + "a=b;" * 1900}, b"{}"),
    )
    targets = ("/login", "/cart/items", "/orders", "/webhooks/stripe")
    wanted = [request("POST", target, body, attack.target.token, kind) for kind, body in kinds for target in targets]
    attack.crowd(4, lambda me: attack.ask_again_and_again(lambda n: wanted[(n + 6 * me) % len(wanted)], me))


def bodies_of_a_megabyte(attack: Attacker) -> None:
    text = b'{"subject": "x", "message": "%b"}' % (b"x" * (MEGABYTE - 200))
    escaped = b'{"subject": "x", "message": "%b"}' % (b"\\u0041" * (MEGABYTE // 6 - 200))
    beyond = b'{"message": "%b"}' % (b"x" * (9 * MEGABYTE))
    _send_all(attack, [("POST", "/tickets", text), ("POST", "/tickets", escaped), ("POST", "/login", beyond)])


def _send_all(attack: Attacker, wanted: list[tuple[str, str, bytes]]) -> None:
    """Four at once, each from an address of its own, begin at different places of the list."""

    def send(me: int) -> None:
        start = me * len(wanted) // 4
        turns = cycle([*wanted[start:], *wanted[:start]])

        def one(_: int) -> bytes:
            method, target, body = next(turns)
            return request(method, target, body or None, attack.target.token)

        attack.ask_again_and_again(one, me)

    attack.crowd(4, send)


ATTACKS = (
    hostile_numbers_in_queries,
    hostile_numbers_in_bodies,
    deep_json,
    thousands_of_unknown_fields,
    huge_ids,
    words_that_are_dear_to_compare,
    headers_that_are_dear_to_read,
    bodies_of_other_kinds,
    bodies_of_a_megabyte,
)
