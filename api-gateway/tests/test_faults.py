"""What upstreams can do wrong, and that nobody else has to suffer for it."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

pytestmark = pytest.mark.processes

AWAY = "http://127.0.0.1:9"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAULTS = {
    "closes at once": b"",
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50,
    "half a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of an upstream that says this to each request, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError):
                        client.recv(65536)
                        client.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def hanging() -> Iterator[str]:
    """The address of an upstream that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _ask(gateway, target, method="GET", body=None):
    connection = gateway.connect()
    connection.request(method, target, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, text


@pytest.mark.parametrize("fault", FAULTS)
def test_nonsense_from_a_service_is_a_502_that_tells_nothing_of_it(start, fault):
    with answering(FAULTS[fault]) as url, start(CART_SERVICE_URL=url) as gateway:
        answer, text = _ask(gateway, "/cart")
        well, _ = _ask(gateway, "/health/live")

    assert (answer.status, json.loads(text)["error"]) == (502, "The cart service is not available.")
    assert well.status == 200


def test_interim_answers_come_before_the_one_that_counts(start):
    hints = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    with answering(hints + OK) as url, start(CART_SERVICE_URL=url) as gateway:
        answer, text = _ask(gateway, "/cart")

    assert (answer.status, text, answer.headers["Link"]) == (200, b"ok", None)


def test_an_answer_without_a_length_ends_with_its_connection(start):
    no_length = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it"
    with answering(no_length) as url, start(CART_SERVICE_URL=url) as gateway:
        answer, text = _ask(gateway, "/cart")

    assert (answer.status, text) == (200, b"all of it")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_instance_that_is_away_is_not_noticed(start, upstream, method):
    with start(CART_SERVICE_URL=f"{AWAY},{upstream.url}") as gateway:
        statuses = {_ask(gateway, "/cart/items", method)[0].status for _ in range(30)}

    assert statuses == {200}


def test_an_instance_that_fails_is_left_alone_and_asked_again_later(start, upstream):
    with answering(b"") as broken, start(CART_SERVICE_URL=f"{broken},{upstream.url}") as gateway:
        statuses = [_ask(gateway, "/cart/items", "POST", b"{}")[0].status for _ in range(60)]
        _, metrics = _ask(gateway, "/metrics")

    assert statuses.count(502) == 5
    assert set(statuses[-20:]) == {200}
    assert f'gateway_breaker_state{{service="cart-service",url="{broken}"}} 2.0' in metrics.decode()


def test_a_service_whose_instances_all_fail_is_refused_at_once(start):
    with start(CART_SERVICE_URL=AWAY) as gateway:
        statuses = [_ask(gateway, "/cart", "POST")[0].status for _ in range(10)]
        answer, text = _ask(gateway, "/cart")

    assert set(statuses[:2]) == {502}
    assert statuses[-1] == answer.status == 503
    assert answer.headers["Retry-After"]
    assert json.loads(text)["error"] == "The cart service is not available at the moment; try again."


def test_a_service_that_comes_back_is_asked_again(start, upstream):
    with answering(OK) as url:
        pass
    with start(CART_SERVICE_URL=url) as gateway:
        while _ask(gateway, "/cart")[0].status != 503:
            pass
        with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))) as server:
            Thread(target=_serve_one, args=(server,)).start()
            for _ in range(100):
                if (status := _ask(gateway, "/cart")[0].status) == 200:
                    break
                time.sleep(0.05)

    assert status == 200


def _serve_one(server: socket.socket) -> None:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        client.sendall(OK)


def test_a_service_that_hangs_takes_no_other_down(start, upstream):
    with (
        hanging() as url,
        start(CART_SERVICE_URL=url, MAX_IN_FLIGHT=8, READ_TIMEOUT=3) as gateway,
        ThreadPoolExecutor(100) as pool,
    ):
        begin = time.monotonic()
        waiting = [pool.submit(_ask, gateway, "/cart") for _ in range(100)]
        others = [_ask(gateway, "/products")[0].status for _ in range(20)]
        seconds = time.monotonic() - begin
        statuses = [each.result()[0].status for each in waiting]

    assert set(others) == {200}
    assert seconds < 3
    assert statuses.count(503) == 92
    assert statuses.count(504) == 8


def test_a_retry_is_counted_and_so_is_what_failed(start):
    with start(CART_SERVICE_URL=AWAY) as gateway:
        _ask(gateway, "/cart")
        _, metrics = _ask(gateway, "/metrics")

    assert 'gateway_retries_total{service="cart-service"} 1.0' in metrics.decode()
    assert 'gateway_upstream_errors_total{kind="connection",service="cart-service"} 1.0' in metrics.decode()


def test_who_leaves_before_or_during_an_answer_leaves_its_place(start, upstream):
    with start(MAX_IN_FLIGHT=4) as gateway:
        for _ in range(12):
            with gateway.socket() as client:
                client.sendall(b"GET /products/endless HTTP/1.1\r\nHost: shop\r\n\r\n")
                client.recv(1)
        for _ in range(100):
            if (status := _ask(gateway, "/products")[0].status) == 200:
                break
            time.sleep(0.05)

    assert status == 200
