"""What services can do wrong, and that nobody else has to suffer for it."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    "a reason that cannot be passed on": b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
    "a length without end": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",
    "another protocol, unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "half a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
}


@pytest.fixture(scope="module")
def one_gateway(start, one_upstream, one_stub):
    """One for all tests. Those after which a service is left alone for a while keep to one that no other test asks."""
    with start(
        AUTH_SERVICE_URL=one_stub.url,
        CART_SERVICE_URL=one_stub.url,
        PROFILE_SERVICE_URL=f"{one_stub.url},{one_upstream.url}",
        PRODUCT_SERVICE_URL=f"{AWAY},{one_upstream.url}",
        ORDER_SERVICE_URL=f"{AWAY},{one_upstream.url}",
        SUPPORT_SERVICE_URL=AWAY,
    ) as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream, stub):
    """`stub` is behind /cart, and its failures in the last test are forgotten, for now it has answered."""
    stub.hangs_up = True
    stub.answer = OK
    assert one_gateway.ask("GET", "/cart").status == 200
    return one_gateway


@pytest.fixture(scope="module")
def impatient(start):
    """Behind /cart hangs a service that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        with start(CART_SERVICE_URL=url, MAX_IN_FLIGHT=8, MAX_IN_FLIGHT_PER_ADDRESS=100, READ_TIMEOUT=3) as gateway:
            yield gateway


def _wait_until_well(gateway, path):
    for _ in range(200):
        if gateway.ask("GET", path).status == 200:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} is still not answered")


@pytest.mark.parametrize("fault", FAULTS)
def test_nonsense_from_a_service_is_a_502_that_tells_nothing_of_it(gateway, stub, fault):
    stub.answer = FAULTS[fault]

    answer = gateway.ask("GET", "/cart")

    assert (answer.status, answer.json["error"]) == (502, "The cart service is not available.")
    assert gateway.ask("GET", "/health/live").status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/products"), ("POST", "/orders")])
def test_one_instance_that_is_away_is_not_noticed(gateway, method, path):
    assert {gateway.ask(method, path).status for _ in range(30)} == {200}


def test_an_instance_that_fails_is_left_alone(gateway, stub):
    stub.answer = FAULTS["closes at once"]

    statuses = [gateway.ask("POST", "/profile", b"{}").status for _ in range(60)]

    assert statuses.count(502) == 5
    assert set(statuses[-20:]) == {200}
    state = f'gateway_breaker_state{{service="profile-service",url="{stub.url}"}} 2.0'
    assert state in gateway.ask("GET", "/metrics").body.decode()


def test_a_service_whose_instances_all_fail_is_refused_at_once(gateway):
    statuses = [gateway.ask("POST", "/tickets").status for _ in range(10)]
    answer = gateway.ask("GET", "/tickets")

    assert set(statuses[:2]) == {502}
    assert statuses[-1] == answer.status == 503
    assert answer.headers["Retry-After"]
    assert answer.json["error"] == "The customer support service is not available at the moment; try again."


def test_a_service_that_comes_back_is_asked_again(gateway, stub):
    stub.answer = FAULTS["closes at once"]
    assert 503 in [gateway.ask("GET", "/auth/me").status for _ in range(10)]

    stub.answer = OK

    _wait_until_well(gateway, "/auth/me")


def test_a_service_that_hangs_takes_no_other_down(impatient, upstream):
    with ThreadPoolExecutor(100) as pool:
        begin = time.monotonic()
        waiting = [pool.submit(impatient.ask, "GET", "/cart") for _ in range(100)]
        others = [impatient.ask("GET", "/products").status for _ in range(20)]
        seconds = time.monotonic() - begin
        statuses = [each.result().status for each in waiting]

    assert set(others) == {200}
    assert seconds < 3
    assert statuses.count(503) == 94
    assert statuses.count(504) == 6  # of the eight slots two are for other addresses


def test_a_retry_is_counted_and_so_is_what_failed(gateway, stub):
    def count():
        lines = gateway.ask("GET", "/metrics").body.decode().splitlines()
        counts = dict(line.rsplit(" ", 1) for line in lines if "_total" in line and 'service="cart-service"' in line)
        names = ("gateway_retries_total{", 'gateway_upstream_errors_total{kind="connection",')
        return [float(counts.get(name + 'service="cart-service"}', 0)) for name in names]

    before = count()
    stub.answer = FAULTS["closes at once"]
    gateway.ask("GET", "/cart")

    assert [now - then for now, then in zip(count(), before, strict=True)] == [1, 1]


def test_who_leaves_before_or_during_an_answer_leaves_its_place(impatient, upstream):
    for _ in range(24):
        with impatient.socket() as client:
            client.sendall(b"GET /products/endless HTTP/1.1\r\nHost: shop\r\n\r\n")
            client.recv(1)

    _wait_until_well(impatient, "/products")


def test_a_service_that_refuses_a_long_body_and_hangs_up_is_not_away(start):
    """gunicorn promises to keep the connection, gives up on so much of an unread body, and closes after all."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as service:
        Thread(target=_refuse_all, args=(service,), daemon=True).start()
        with start(CART_SERVICE_URL=f"http://127.0.0.1:{service.getsockname()[1]}") as gateway:
            statuses = {gateway.ask("POST", "/cart/items", bytes(70_000)).status for _ in range(20)}
        service.shutdown(socket.SHUT_RDWR)

    assert statuses == {401}


def _refuse_all(service):
    with suppress(OSError):
        while True:
            connection, _ = service.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
                left = 69_000
                while left > 0 and (data := connection.recv(65536)):
                    left -= len(data)
                time.sleep(0.02)  # for so long it looks like a connection that is kept
