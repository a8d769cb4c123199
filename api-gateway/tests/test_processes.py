"""What only shows when bytes really travel: the gateway in a process, as it is deployed."""

import json
import socket
import time
from http.client import IncompleteRead

import pytest

pytestmark = pytest.mark.processes

MEGABYTE = 1024 * 1024
EVERYWHERE = pytest.mark.parametrize("one_gateway", ["gevent", "development"], indirect=True)


@pytest.fixture(scope="module")
def full():
    """The address of a service that does not even accept connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


@pytest.fixture(scope="module", params=["gevent"])
def one_gateway(start, full, request):
    """The profile service is full, the order service slow, and the support service away; all others are well.

    These three fail so seldom in all tests together that their breakers stay closed.
    """
    with start(
        request.param,
        PROFILE_SERVICE_URL=full,
        CONNECT_TIMEOUT="2,profile=0.2",
        READ_TIMEOUT="30,order=0.2",
        SUPPORT_SERVICE_URL="http://127.0.0.1:9",
        MAX_BODY_BYTES=200 * MEGABYTE,
    ) as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream):
    return one_gateway


@pytest.fixture
def connection(gateway):
    connection = gateway.connect()
    yield connection
    connection.close()


@EVERYWHERE
def test_target_headers_and_cookies_arrive_just_as_they_were_sent(connection):
    connection.putrequest("GET", "/api/cart/7/a%2fb%c3%a9?q=50%%20off&a[]=|%2f", skip_accept_encoding=True)
    connection.putheader("Cookie", "a=1; b=2")
    connection.endheaders()
    answer = connection.getresponse()
    seen = json.load(answer)

    assert seen["target"] == "/cart/7/a%2fb%c3%a9?q=50%%20off&a[]=|%2f"
    assert seen["headers"]["Cookie"] == "a=1; b=2"
    assert seen["headers"].keys().isdisjoint({"User-Agent", "Accept", "Accept-Encoding", "Connection"})
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert [len(answer.headers.get_all(name)) for name in ("Date", "Server", "X-Request-ID")] == [1, 1, 1]


def test_cookies_of_one_client_do_not_reach_another(connection):
    assert "Set-Cookie" in connection.ask("GET", "/cart").headers

    seen = connection.ask("GET", "/cart").json

    assert "Cookie" not in seen["headers"]


def test_a_head_answer_keeps_its_length_and_has_no_body(connection):
    answer = connection.ask("HEAD", "/cart")

    assert int(answer.headers["Content-Length"]) > 100
    assert (answer.body, connection.ask("GET", "/cart").status) == (b"", 200)


def test_many_requests_share_few_connections(connection, upstream):
    for method in ("GET", "HEAD", "POST", "DELETE") * 25:
        connection.ask(method, "/cart", b"{}" if method == "POST" else None)
    connection.ask("GET", "/products/large")
    connection.ask("GET", "/products")

    assert len(upstream.requests) == 102
    assert upstream.connections <= 1


def test_a_large_answer_passes_through_little_memory(gateway, connection):
    connection.ask("GET", "/products")
    before = gateway.worker_megabytes()

    connection.request("GET", "/products/large")
    answer = connection.getresponse()
    length = sum(len(chunk) for chunk in iter(lambda: answer.read(MEGABYTE), b""))

    assert length == 100 * MEGABYTE
    assert gateway.worker_megabytes() - before < 10


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_passes_through_little_memory(gateway, connection, chunked):
    connection.ask("GET", "/products")
    before = gateway.worker_megabytes()

    headers = {} if chunked else {"Content-Length": str(100 * MEGABYTE)}
    body = (bytes(MEGABYTE) for _ in range(100))
    seen = connection.ask("POST", "/images", body, headers, encode_chunked=chunked).json

    assert seen["length"] == 100 * MEGABYTE
    assert gateway.worker_megabytes() - before < 10


def test_a_chunked_body_stays_chunked(connection):
    seen = connection.ask("POST", "/cart/items", iter([b"ab", b"cd"]), encode_chunked=True).json

    assert (seen["length"], seen["headers"]["Transfer-Encoding"]) == (4, "chunked")


@EVERYWHERE
def test_a_body_whose_chunks_make_no_sense_is_a_400(gateway):
    with gateway.socket() as client:
        client.sendall(b"POST /cart/items HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX")
        answer = client.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")


@EVERYWHERE
def test_events_arrive_when_they_happen(connection, upstream):
    connection.request("GET", "/products/events")
    answer = connection.getresponse()

    first = answer.read1(65536)
    upstream.go_on.set()

    assert first == b"data: first\n\n"
    assert answer.read() == b"data: second\n\n"


def test_a_client_that_leaves_during_an_answer_ends_it_for_the_service(gateway, upstream):
    with gateway.socket() as client:
        client.sendall(b"GET /products/endless HTTP/1.1\r\nHost: shop\r\n\r\n")
        client.recv(65536)

    assert upstream.hung_up.wait(5)


def test_a_client_that_leaves_during_its_request_ends_it_for_the_service(gateway, upstream):
    with gateway.socket() as client:
        client.sendall(b"POST /cart/items HTTP/1.1\r\nHost: shop\r\nContent-Length: 4000000\r\n\r\n" + bytes(2_000_000))

    assert upstream.hung_up.wait(5)


@EVERYWHERE
def test_an_answer_that_breaks_off_late_breaks_off_for_the_client_too(connection):
    connection.request("GET", "/products/cut")

    with pytest.raises(IncompleteRead):
        connection.getresponse().read()


@EVERYWHERE
def test_a_kept_alive_connection_that_ended_is_no_error(connection):
    assert connection.ask("GET", "/products/vanish").status == 200


@EVERYWHERE
@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/orders/slow", 504, "The order service did not answer in time."),
        ("/profile", 504, "The profile service did not answer in time."),
        ("/tickets", 502, "The customer support service is not available."),
    ],
    ids=["slow", "full", "away"],
)
def test_a_service_that_is_slow_or_full_or_away_is_said_so(connection, path, status, words):
    answer = connection.ask("GET", path)

    assert (answer.status, answer.json["error"]) == (status, words)


@EVERYWHERE
def test_there_is_no_websocket_to_a_service_that_is_away(connection, upgrade):
    assert connection.ask("GET", "/socket.io/", headers=upgrade).status == 502


def test_a_request_that_waits_behind_another_is_answered_before_a_stop(start, upstream):
    get = b"GET /cart/%b HTTP/1.1\r\nHost: shop\r\n\r\n"
    with start() as gateway, gateway.socket() as client:
        client.sendall(get % b"slow" + get % b"other")
        time.sleep(0.3)
        gateway.process.terminate()
        time.sleep(1)
        upstream.go_on.set()
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.count(b"HTTP/1.1 200 ") == 2


def test_a_request_in_flight_is_finished_before_a_stop(start, upstream):
    with start() as gateway:
        connection = gateway.connect()
        connection.request("GET", "/products/slow", headers={"Connection": "close"})
        time.sleep(0.3)
        gateway.process.terminate()
        time.sleep(0.3)
        upstream.go_on.set()

        assert connection.getresponse().status == 200
        connection.close()
