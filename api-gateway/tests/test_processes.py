"""What only shows when bytes really travel: the gateway in a process, as it is deployed."""

import json
import socket
import time
from http.client import HTTPConnection, IncompleteRead

import pytest

pytestmark = pytest.mark.processes

MEGABYTE = 1024 * 1024
EVERYWHERE = pytest.mark.parametrize("one_gateway", ["gevent", "development"], indirect=True)


@pytest.fixture(scope="module", params=["gevent"])
def one_gateway(start, request):
    with start(request.param) as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream):
    return one_gateway


@pytest.fixture
def connection(gateway):
    connection = gateway.connect()
    yield connection
    connection.close()


def _ask(connection: HTTPConnection, method: str, target: str, *rest, **more):
    connection.request(method, target, *rest, **more)
    answer = connection.getresponse()
    return answer, answer.read()


def _receive_exactly(client, length):
    received = b""
    while len(received) < length and (data := client.recv(65536)):
        received += data
    return received


@EVERYWHERE
def test_target_headers_and_cookies_arrive_just_as_they_were_sent(connection):
    connection.putrequest("GET", "/api/orders/7/a%2fb%c3%a9?q=50%%20off&a[]=|%2f", skip_accept_encoding=True)
    connection.putheader("Cookie", "a=1; b=2")
    connection.endheaders()
    answer = connection.getresponse()
    seen = json.loads(answer.read())

    assert seen["target"] == "/orders/7/a%2fb%c3%a9?q=50%%20off&a[]=|%2f"
    assert seen["headers"]["Cookie"] == "a=1; b=2"
    assert seen["headers"].keys().isdisjoint({"User-Agent", "Accept", "Accept-Encoding", "Connection"})
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert [len(answer.headers.get_all(name)) for name in ("Date", "Server", "X-Request-ID")] == [1, 1, 1]


@pytest.mark.parametrize("path", ["//cart", "/auth//validate", "/cart/..", "/auth/%76alidate", "/%69nternal"])
def test_tricks_with_paths_lead_nowhere(connection, upstream, path):
    answer, _ = _ask(connection, "GET", path)

    assert answer.status == 404
    assert upstream.requests == []


def test_cookies_of_one_client_do_not_reach_another(connection):
    _ask(connection, "GET", "/cart")

    seen = json.loads(_ask(connection, "GET", "/cart")[1])

    assert "Cookie" not in seen["headers"]


def test_a_head_answer_keeps_its_length_and_has_no_body(connection):
    answer, body = _ask(connection, "HEAD", "/cart")
    again, _ = _ask(connection, "GET", "/cart")

    assert int(answer.headers["Content-Length"]) > 100
    assert (body, again.status) == (b"", 200)


@pytest.mark.parametrize(("path", "status"), [("/cart/gone", 304), ("/cart/empty", 204)])
def test_answers_without_a_body_have_none(connection, path, status):
    answer, body = _ask(connection, "GET", path)
    again, _ = _ask(connection, "GET", "/cart")

    assert (answer.status, body, again.status) == (status, b"", 200)
    assert "Content-Type" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers


def test_many_requests_share_few_connections(connection, upstream):
    for method in ("GET", "HEAD", "POST", "DELETE") * 25:
        _ask(connection, method, "/cart", b"{}" if method == "POST" else None)
    _ask(connection, "GET", "/products/large")
    _ask(connection, "GET", "/products")

    assert len(upstream.requests) == 102
    assert upstream.connections <= 1


def test_a_large_answer_passes_through_little_memory(gateway, connection):
    _ask(connection, "GET", "/products")
    before = gateway.worker_megabytes()

    connection.request("GET", "/products/large")
    answer = connection.getresponse()
    length = sum(len(chunk) for chunk in iter(lambda: answer.read(MEGABYTE), b""))

    assert length == 100 * MEGABYTE
    assert gateway.worker_megabytes() - before < 10


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_passes_through_little_memory(start, upstream, chunked):
    with start(MAX_BODY_BYTES=200 * MEGABYTE) as gateway:
        connection = gateway.connect()
        _ask(connection, "GET", "/products")
        before = gateway.worker_megabytes()

        headers = {} if chunked else {"Content-Length": str(100 * MEGABYTE)}
        body = (bytes(MEGABYTE) for _ in range(100))
        _, seen = _ask(connection, "POST", "/images", body, headers, encode_chunked=chunked)
        connection.close()

        assert json.loads(seen)["length"] == 100 * MEGABYTE
        assert gateway.worker_megabytes() - before < 10


def test_a_chunked_body_stays_chunked(connection):
    _, seen = _ask(connection, "POST", "/cart/items", iter([b"ab", b"cd"]), encode_chunked=True)

    assert json.loads(seen)["length"] == 4
    assert json.loads(seen)["headers"]["Transfer-Encoding"] == "chunked"


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
        _receive_exactly(client, MEGABYTE)

    assert upstream.hung_up.wait(5)


def test_a_client_that_leaves_during_its_request_ends_it_for_the_service(gateway, upstream):
    with gateway.socket() as client:
        client.sendall(b"POST /cart/items HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\n" + bytes(500_000))

    assert upstream.hung_up.wait(5)


@EVERYWHERE
def test_a_long_answer_that_breaks_off_breaks_off_for_the_client_too(connection):
    connection.request("GET", "/products/cut")

    with pytest.raises(IncompleteRead):
        connection.getresponse().read()


def test_a_short_answer_that_breaks_off_is_a_502(connection):
    answer, body = _ask(connection, "GET", "/products/cut_short")

    assert (answer.status, json.loads(body)["error"]) == (502, "The product service is not available.")


@EVERYWHERE
def test_a_kept_alive_connection_that_ended_is_no_error(connection):
    assert _ask(connection, "GET", "/products/vanish")[0].status == 200


def test_a_service_that_does_not_answer_in_time_is_a_504(start, upstream):
    with start(READ_TIMEOUT=0.2) as gateway:
        connection = gateway.connect()
        answer, body = _ask(connection, "GET", "/products/slow")
        connection.close()

    assert (answer.status, json.loads(body)["error"]) == (504, "The product service did not answer in time.")


@pytest.mark.parametrize("server", ["gevent", "development"])
def test_a_service_that_does_not_even_accept_connections_is_a_504(start, upstream, server):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        with start(server, CART_SERVICE_URL=url, CONNECT_TIMEOUT=0.2) as gateway:
            connection = gateway.connect()
            answer, body = _ask(connection, "GET", "/cart")
            connection.close()

    assert (answer.status, json.loads(body)["error"]) == (504, "The cart service did not answer in time.")


@pytest.mark.parametrize("server", ["gevent", "development"])
def test_a_service_that_is_away_is_a_502(start, upstream, server):
    with start(server, SUPPORT_SERVICE_URL="http://127.0.0.1:9") as gateway:
        connection = gateway.connect()
        answer, body = _ask(connection, "GET", "/tickets")
        connection.close()

    assert (answer.status, json.loads(body)["error"]) == (502, "The customer support service is not available.")


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
