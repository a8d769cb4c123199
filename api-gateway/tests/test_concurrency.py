"""One address cannot have all slots of a service: so many requests at once, a short wait, then a refusal."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from limits import concurrency
from limits.concurrency import ConcurrencyLimit
from shopkit.errors import TooManyRequests

HERE, THERE = "198.51.100.1", "198.51.100.2"
ENOUGH = 10.0  # seconds, for what takes milliseconds
MOST = {"cart": 2, "order": 2}


def _until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


@pytest.fixture
def impatient():
    return ConcurrencyLimit(MOST, wait_seconds=0.01)


@pytest.fixture
def patient():
    return ConcurrencyLimit(MOST, wait_seconds=ENOUGH)


def test_an_address_has_so_many_permits_at_each_service(impatient):
    impatient.acquire("cart", HERE)
    impatient.acquire("cart", HERE)

    with pytest.raises(TooManyRequests) as refused:
        impatient.acquire("cart", HERE)

    assert refused.value.headers == {"Retry-After": "1"}
    impatient.acquire("order", HERE)
    impatient.acquire("cart", THERE)


def test_the_more_an_address_has_in_progress_the_more_it_leaves_to_others():
    limit = ConcurrencyLimit({"cart": 16})
    permits = [limit.acquire("cart", HERE) for _ in range(concurrency.FEW + 1)]
    other = limit.acquire("cart", THERE)

    assert [each.leaves for each in permits] == [0, *[1 / 8] * (concurrency.FEW - 1), 1 / 4]
    assert other.leaves == 0


def test_a_permit_that_is_released_is_there_for_the_next(impatient):
    impatient.acquire("cart", HERE)
    for _ in range(5):
        impatient.acquire("cart", HERE).release()


def test_a_permit_cannot_be_released_twice(impatient):
    first, _ = impatient.acquire("cart", HERE), impatient.acquire("cart", HERE)
    first.release()
    first.release()

    impatient.acquire("cart", HERE)
    with pytest.raises(TooManyRequests):
        impatient.acquire("cart", HERE)


def test_whoever_waits_longest_is_next(patient):
    held = [patient.acquire("cart", HERE) for _ in range(2)]
    line = patient._queues["cart", HERE]
    served = []

    def wait(name):
        patient.acquire("cart", HERE)
        served.append(name)

    with ThreadPoolExecutor(3) as pool:
        for number, name in enumerate(("first", "second", "third")):
            pool.submit(wait, name)
            _until(lambda number=number: len(line.waiting) == number + 1)
        for number in range(2):
            held[number].release()
            _until(lambda number=number: len(served) == number + 1)
        assert served == ["first", "second"]
        patient.release(("cart", HERE))


def test_no_more_wait_than_may(patient, monkeypatch):
    monkeypatch.setattr(concurrency, "MAX_WAITING", 1)
    held = [patient.acquire("cart", HERE) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.acquire, "cart", HERE)
        _until(lambda: patient._queues["cart", HERE].waiting)

        with pytest.raises(TooManyRequests):
            patient.acquire("cart", HERE)

        held[0].release()
        waiting.result(ENOUGH)


def test_who_waited_in_vain_takes_nothing_with_them(impatient):
    held = [impatient.acquire("cart", HERE) for _ in range(2)]
    for _ in range(3):
        with pytest.raises(TooManyRequests):
            impatient.acquire("cart", HERE)

    for permit in held:
        permit.release()

    assert impatient._queues == {}


def test_a_permit_that_comes_when_the_wait_is_interrupted_is_not_lost(patient, monkeypatch):
    held = [patient.acquire("cart", HERE) for _ in range(2)]

    class Interrupted(concurrency.Event):
        def wait(self, timeout=None):
            held[0].release()
            raise KeyboardInterrupt

    monkeypatch.setattr(concurrency, "Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        patient.acquire("cart", HERE)
    held[1].release()

    assert patient._queues == {}


@pytest.fixture(scope="module")
def one_gateway(start):
    with start(MAX_IN_FLIGHT_PER_ADDRESS="4,order=1", TRUSTED_PROXIES="1") as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream):
    return one_gateway


def _from(address):
    return {"headers": {"X-Forwarded-For": address}}


@pytest.mark.processes
def test_others_are_served_while_one_address_has_all_it_may_at_a_service(gateway, upstream):
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(gateway.ask, "GET", "/cart/slow", **_from(HERE)) for _ in range(6)]
        _until(lambda: upstream.requests.count("GET /cart/slow HTTP/1.1") == 4)

        assert gateway.ask("GET", "/cart", **_from(THERE)).status == 200
        assert gateway.ask("GET", "/products", **_from(HERE)).status == 200
        _until(lambda: sum(each.done() for each in slow) == 2)  # those that waited in vain
        assert upstream.requests.count("GET /cart/slow HTTP/1.1") == 4

        upstream.go_on.set()
        answers = sorted(each.result().status for each in slow)
    assert answers == [200] * 4 + [429] * 2
    refused = next(each.result() for each in slow if each.result().status == 429)
    assert (refused.headers["Retry-After"], refused.json["code"]) == ("1", "too_many_requests")


@pytest.mark.processes
def test_long_polls_are_no_requests_in_progress(gateway, upstream):
    with ThreadPoolExecutor(8) as pool:
        polls = [pool.submit(gateway.ask, "GET", "/socket.io/slow", **_from(HERE)) for _ in range(8)]
        _until(lambda: upstream.requests.count("GET /socket.io/slow HTTP/1.1") == 8)

        assert gateway.ask("GET", "/tickets", **_from(HERE)).status == 200

        upstream.go_on.set()
        assert {each.result().status for each in polls} == {200}


@pytest.mark.processes
@pytest.mark.parametrize("path", ["/orders", "/orders/cut", "/orders/large", "/orders/vanish"])
def test_every_end_of_a_request_gives_its_permit_back(gateway, path):
    for _ in range(2):
        with gateway.socket() as client:
            client.sendall(b"GET %b HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n" % path.encode())
            client.recv(100)

    assert gateway.ask("GET", "/orders", **_from("8.8.8.8")).status == 200


@pytest.mark.processes
def test_a_service_that_is_away_keeps_no_permit(start, upstream):
    with start(MAX_IN_FLIGHT_PER_ADDRESS="1", ORDER_SERVICE_URL="http://127.0.0.1:9") as gateway:
        statuses = [gateway.ask("GET", "/orders").status for _ in range(3)]

    assert 429 not in statuses
