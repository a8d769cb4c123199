"""HTTP/1.1 byte by byte: what the gateway takes for a request, how long it waits for one, and what it passes back."""

import json
import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

GET = b"GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n"
SMUGGLED = b"GET /cart/smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture(scope="module")
def one_gateway(start, one_stub):
    """`stub` is behind /products, `upstream` behind everything else."""
    with start(PRODUCT_SERVICE_URL=one_stub.url) as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream):
    return one_gateway


@pytest.fixture(scope="module")
def threads(start):
    """As the services are served."""
    with start("threads") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def impatient_gateway(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "impatient.py").write_text(
        "from shopkit.server.gevent_worker import Worker as Patient\n"
        "class Worker(Patient):\n"
        "    head_seconds = body_seconds = answer_seconds = 0.5\n"
    )
    with start(GUNICORN_CMD_ARGS="--worker-class impatient.Worker --keep-alive 1", PYTHONPATH=folder) as gateway:
        yield gateway


@pytest.fixture
def impatient(impatient_gateway, upstream):
    return impatient_gateway


class _Received(BytesIO):
    """Bytes as a socket that a client reads several answers from."""

    def makefile(self, *_: object) -> "_Received":
        return self

    def close(self) -> None:
        pass


def _answers(received: bytes, *methods: str) -> list[HTTPResponse]:
    """The answers to these requests (to GETs, if nothing is said), with nothing between or behind them."""
    source = _Received(received)
    answers = []
    while source.tell() < len(received):
        answer = HTTPResponse(source, method=methods[len(answers)] if methods else "GET")
        answer.begin()
        answer.body = answer.read()
        answers.append(answer)
    return answers


def _exchange(gateway, sent: bytes, *methods: str) -> list[HTTPResponse]:
    """Send this and wait until the gateway closes the connection by itself."""
    with gateway.socket() as client:
        client.sendall(sent)
        return _answers(_rest(client), *methods)


def _rest(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def _head(*lines: bytes, line: bytes = b"GET /cart HTTP/1.1", host: bytes = b"Host: shop\r\n") -> bytes:
    return line + b"\r\n" + host + b"".join(each + b"\r\n" for each in lines) + b"\r\n"


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return _head(*lines, line=b"POST /cart/items HTTP/1.1") + body


def _chunked(body: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", body=body)


def _closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


LENGTHS = {
    "two lengths": (b"Content-Length: 5", b"Content-Length: 6"),
    "one length twice": (b"Content-Length: 5", b"Content-Length: 5"),
    "a list of lengths": (b"Content-Length: 5, 5",),
    "a length and chunks": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunks and a length": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "identity before chunks": (b"Transfer-Encoding: identity, chunked",),
    "identity": (b"Transfer-Encoding: identity",),
    "an unknown coding": (b"Transfer-Encoding: xchunked",),
    "a coding before chunks": (b"Transfer-Encoding: gzip, chunked",),
    "chunks in chunks": (b"Transfer-Encoding: chunked, chunked",),
    "chunks twice": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunks and identity": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "a tab before chunked": (b"Transfer-Encoding:\tchunked",),
    "a tab after chunked": (b"Transfer-Encoding: chunked\t",),
    "two spaces": (b"Transfer-Encoding:  chunked",),
    "a vertical tab": (b"Transfer-Encoding: \x0bchunked",),
    "a no-break space": (b"Transfer-Encoding:\xa0chunked",),
    "a quoted coding": (b'Transfer-Encoding: "chunked"',),
    "a parameter": (b"Transfer-Encoding: chunked;q=1",),
    "an empty coding": (b"Transfer-Encoding:",),
    "a plus": (b"Content-Length: +5",),
    "a minus": (b"Content-Length: -5",),
    "a hexadecimal": (b"Content-Length: 0x5",),
    "an underscore": (b"Content-Length: 1_0",),
    "a fraction": (b"Content-Length: 5.0",),
    "a tab": (b"Content-Length:\t5",),
    "a space within": (b"Content-Length: 1 0",),
    "another alphabet's digit": (b"Content-Length: \xb2",),
    "no length": (b"Content-Length:",),
    "a huge length": (b"Content-Length: " + b"9" * 400,),
    "a space before the colon": (b"Content-Length : 5",),
    "a length with an underscore": (b"Content_Length: 5",),
    "a coding with an underscore": (b"Transfer_Encoding: chunked",),
    "a folded coding": (b"Transfer-Encoding:", b" chunked"),
}
FIELDS = {
    "a folded value": (b"X-Test: a", b" b"),
    "a fold before everything": (b" X-Test: a",),
    "a space before the colon": (b"X-Test : a",),
    "a tab before the colon": (b"X-Test\t: a",),
    "a space in the name": (b"X Test: a",),
    "no colon": (b"X-Test",),
    "no name": (b": a",),
    "NUL in a value": (b"X-Test: a\0b",),
    "NUL in a name": (b"X-\0Test: a",),
    "a control character": (b"X-Test: a\x01b",),
    "DEL": (b"X-Test: a\x7fb",),
    "a bare LF in a value": (b"X-Test: a\nb",),
    "a header behind a bare LF": (b"X-Test: a\nX-Other: b",),
    "a bare CR in a value": (b"X-Test: a\rb",),
    "a header behind a bare CR": (b"X-Test: a\rX-Other: b",),
    "a parenthesis in the name": (b"X(Test): a",),
    "a letter beyond ASCII in the name": (b"X-T\xe9st: a",),
    "an underscore that shadows": (b"X_Forwarded_For: 10.0.0.1",),
    "an environment's name": (b"SCRIPT_NAME: /cart",),
    "a path of its own": (b"PATH_INFO: /metrics",),
    "a second host": (b"Host: shop",),
    "another host": (b"Host: evil",),
}
HOSTS = {
    "none": b"",
    "an empty one": b"Host:\r\n",
    "two in one": b"Host: shop, evil\r\n",
    "a name and a path": b"Host: shop/cart\r\n",
    "a person": b"Host: shop@evil\r\n",
    "a port of letters": b"Host: shop:http\r\n",
    "a space": b"Host: shop evil\r\n",
    "a quote": b'Host: shop"\r\n',
    "beyond ASCII": b"Host: sh\xf6p\r\n",
}
LINES = {
    "an absolute target": b"GET http://shop/cart HTTP/1.1",
    "another scheme": b"GET gopher://shop/cart HTTP/1.1",
    "an authority": b"GET shop:80 HTTP/1.1",
    "a tunnel": b"CONNECT shop:80 HTTP/1.1",
    "an asterisk": b"GET * HTTP/1.1",
    "an asterisk for OPTIONS": b"OPTIONS * HTTP/1.1",
    "a relative target": b"GET cart HTTP/1.1",
    "a fragment": b"GET /cart#part HTTP/1.1",
    "no target": b"GET  HTTP/1.1",
    "two spaces": b"GET  /cart HTTP/1.1",
    "a tab": b"GET\t/cart\tHTTP/1.1",
    "a space in the target": b"GET /cart /orders HTTP/1.1",
    "a space behind": b"GET /cart HTTP/1.1 ",
    "a space in front": b" GET /cart HTTP/1.1",
    "NUL in the target": b"GET /cart\0 HTTP/1.1",
    "a bare CR in the target": b"GET /cart\r/ HTTP/1.1",
    "a letter beyond ASCII": b"GET /c\xe4rt HTTP/1.1",
    "a bare LF": b"GET /cart HTTP/1.1\nX-Test: a",
    "HTTP/0.9": b"GET /cart",
    "HTTP/2": b"GET /cart HTTP/2.0",
    "HTTP/1.2": b"GET /cart HTTP/1.2",
    "HTTP/1.01": b"GET /cart HTTP/1.01",
    "no number": b"GET /cart HTTP/x.1",
    "a small version": b"GET /cart http/1.1",
    "another protocol": b"GET /cart ICAP/1.1",
    "HTTP/2's first words": b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    "a small method": b"get /cart HTTP/1.1",
    "a mixed method": b"Get /cart HTTP/1.1",
    "a short method": b"G /cart HTTP/1.1",
    "a long method": b"G" * 1000 + b" /cart HTTP/1.1",
    "no token": b"G(ET /cart HTTP/1.1",
    "a greeting": b"hello",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
REFUSED = {
    **{f"length: {name}": _post(*lines, body=b"0\r\n\r\n") for name, lines in LENGTHS.items()},
    "length: chunks in HTTP/1.0": _head(b"Transfer-Encoding: chunked", line=b"POST /cart/items HTTP/1.0"),
    **{f"field: {name}": _head(*lines) for name, lines in FIELDS.items()},
    **{f"host: {name}": _head(host=line) for name, line in HOSTS.items()},
    **{f"line: {name}": _head(line=line) for name, line in LINES.items()},
    "end: only LF": GET.replace(b"\r\n", b"\n"),
    "end: the last LF": GET[:-2] + b"\n",
    "end: LF behind a field": GET.replace(b"shop\r\n", b"shop\n"),
    "end: only CR": GET.replace(b"\r\n", b"\r") + b"\n\n",
    "end: two empty lines in front": b"\r\n\r\n" + GET,
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(gateway, upstream, sent):
    (answer,) = _exchange(gateway, sent + SMUGGLED)

    assert (answer.status, answer.headers["Connection"]) == (400, "close")
    assert upstream.requests == []


def test_a_refusal_looks_like_every_other_error_and_repeats_nothing(gateway):
    (answer,) = _exchange(gateway, _head(b"Authorization Bearer secret", line=b"GET /cart?secret HTTP/1.1"))
    problem = json.loads(answer.body)

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"] == problem["request_id"]
    assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id", "error"}
    assert (problem["status"], problem["code"]) == (400, "bad_request")
    assert b"secret" not in answer.body
    log = Path(f"/proc/{gateway.process.pid}/fd/2").read_text().splitlines()
    lines = [json.loads(line) for line in log if problem["request_id"] in line]
    assert [line["level"] for line in lines] == ["info"]
    assert "secret" not in str(lines)


ORIGIN = b"Origin: http://localhost:3000"
REFUSED_TO_BROWSERS = {
    400: _head(b"X(Test): a", ORIGIN),
    414: _head(ORIGIN, line=b"GET /" + b"a" * 100_000 + b" HTTP/1.1"),
    417: _head(b"Expect: cake", ORIGIN),
    431: _head(*(b"X-%d: %b" % (number, b"a" * 8000) for number in range(10)), ORIGIN),
}


@pytest.mark.parametrize(("status", "sent"), REFUSED_TO_BROWSERS.items(), ids=map(str, REFUSED_TO_BROWSERS))
def test_pages_of_welcome_origins_may_read_refusals_and_strangers_may_not(gateway, status, sent):
    (answer,) = _exchange(gateway, sent)
    (to_stranger,) = _exchange(gateway, sent.replace(b"localhost:3000", b"evil.example"))

    assert (answer.status, to_stranger.status) == (status, status)
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in to_stranger.headers
    for each in (answer, to_stranger):
        assert each.headers["Vary"] == "Origin"
        assert each.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in each.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("sent", "status"), [(_head(b"X(Test): a"), 400), (GET.replace(b"/", b"/" * 9000, 1), 414)])
def test_a_worker_of_threads_refuses_in_the_same_words(threads, sent, status):
    (answer,) = _exchange(threads, sent)

    assert (answer.status, answer.headers["Connection"]) == (status, "close")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["request_id"] == answer.headers["X-Request-ID"]


CHUNKS = {
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "a minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "a space in front": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "a tab behind": b"5\t\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "an extension": b"5;x=1\r\nhello\r\n0\r\n\r\n",
    "a space and an extension": b"5 ;x\r\nhello\r\n0\r\n\r\n",
    "an extension of the last chunk": b"5\r\nhello\r\n0;x\r\n\r\n",
    "a huge size": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "many zeros": b"0" * 20 + b"5\r\nhello\r\n0\r\n\r\n",
    "LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "nothing behind the chunk": b"5\r\nhello0\r\n\r\n",
    "LF behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "more than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nX-Test: a\r\n b\r\n\r\n",
    "a trailer with a bare LF": b"0\r\nX-Test: a\nb\r\n\r\n",
    "a length as a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a host as a trailer": b"0\r\nHost: evil\r\n\r\n",
    "a thousand tiny chunks too many": b"1\r\na\r\n" * 2000 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
def test_a_body_of_odd_chunks_is_refused_and_nothing_behind_it_is_a_request(gateway, upstream, body):
    (answer,) = _exchange(gateway, _chunked(body) + SMUGGLED)

    assert (answer.status, answer.headers["Connection"]) == (400, "close")
    assert not any("smuggled" in line for line in upstream.requests)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", 5),
        (b"0005\r\nhello\r\n00\r\n\r\n", 5),
        (b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", 21),
        (b"0\r\n\r\n", 0),
        (b"5\r\nhello\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\nAccept: evil\r\n\r\n", 5),
    ],
)
def test_a_body_of_good_chunks_arrives_and_its_trailers_do_not(gateway, upstream, body, length):
    answers = _exchange(gateway, _chunked(body) + _closing(GET))
    seen = json.loads(answers[0].body)

    assert [answer.status for answer in answers] == [200, 200]
    assert seen["length"] == length
    assert "evil" not in str(seen)
    assert "10.0.0.1" not in str(seen)


@pytest.mark.parametrize(
    "head",
    [
        _head(host=b"Host: shop.example.com:5000\r\n"),
        _head(host=b"Host: [::1]:5000\r\n"),
        _head(host=b"hOST:shop  \r\n"),
        _head(b"X-Test:", b"X-Other:\t \xe4\t,  b "),
        b"\r\n" + GET,
        _post(b"content-length:0"),
        _post(b"Transfer-Encoding: Chunked", body=b"0\r\n\r\n"),
    ],
)
def test_what_is_only_unusual_is_served(gateway, head):
    (answer,) = _exchange(gateway, _closing(head))

    assert answer.status == 200


@pytest.mark.parametrize("method", [b"TRACE", b"BREW", b"PROPFIND", b"CONNECT"])
def test_unknown_methods_are_not_allowed(gateway, upstream, method):
    (answer,) = _exchange(gateway, _closing(_head(line=method + b" /cart HTTP/1.1")))

    assert (answer.status, upstream.requests) == (405, [])


def test_pipelined_requests_are_answered_in_order_and_bodies_are_not_requests(gateway, upstream):
    post = _post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED)

    answers = _exchange(gateway, post + GET + _chunked(b"0\r\n\r\n") + _closing(GET))

    assert [json.loads(answer.body)["method"] for answer in answers] == ["POST", "GET", "POST", "GET"]
    assert not any("smuggled" in line for line in upstream.requests)


def test_nothing_behind_a_request_that_closes_is_served(gateway, upstream):
    answers = _exchange(gateway, _closing(GET) + SMUGGLED)

    assert [answer.status for answer in answers] == [200]
    assert len(upstream.requests) == 1


def test_who_speaks_http_1_0_needs_no_host_and_is_hung_up_on(gateway):
    (answer,) = _exchange(gateway, b"GET /cart HTTP/1.0\r\n\r\n")

    assert (answer.status, answer.headers["Connection"]) == (200, "close")


@pytest.mark.parametrize("name", [b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: on", b"X-Forwarded-Protocol: ssl"])
def test_the_server_believes_nobody_about_the_scheme(gateway, name):
    (answer,) = _exchange(gateway, _closing(_head(name)))

    assert json.loads(answer.body)["headers"]["X-Forwarded-Proto"] == "http"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (_head(line=b"GET /" + b"a" * 8200 + b" HTTP/1.1"), 414, "uri_too_long"),
        (b"GET /" + b"a" * 100_000, 414, "uri_too_long"),
        (_head(b"X-Test: " + b"a" * 8200), 431, "headers_too_large"),
        (_head(*(b"X-%d: a" % number for number in range(100))), 431, "headers_too_large"),
        (_head(*(b"X-%d: %b" % (number, b"a" * 8000) for number in range(10))), 431, "headers_too_large"),
        (_head(b"X-Test: a")[:-2] + b"X: " + b"a" * 100_000, 431, "headers_too_large"),
        (_post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"), 417, "expectation_failed"),
    ],
)
def test_heads_that_are_too_large_or_expect_too_much_are_refused(gateway, upstream, sent, status, code):
    (answer,) = _exchange(gateway, sent)

    assert (answer.status, json.loads(answer.body)["code"]) == (status, code)
    assert upstream.requests == []


def test_heads_that_are_just_small_enough_are_served(gateway):
    fields = [b"X-%d: %b" % (number, b"a" * 250) for number in range(80)]

    (answer,) = _exchange(
        gateway, _head(b"Connection: close", *fields, line=b"GET /cart?" + b"a" * 8000 + b" HTTP/1.1")
    )

    assert answer.status == 200


def test_a_body_that_is_said_to_be_too_long_is_refused_before_it_is_sent(gateway, upstream):
    (answer,) = _exchange(gateway, _post(b"Content-Length: 10485761"))

    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert upstream.requests == []


def test_a_body_that_turns_out_too_long_is_refused_on_the_way(gateway):
    chunk = b"100000\r\n" + bytes(1024 * 1024) + b"\r\n"
    with gateway.socket() as client:
        client.sendall(_chunked(b""))
        with suppress(OSError):
            for _ in range(50):
                client.sendall(chunk)
        received = client.recv(65536)

    assert received.startswith(b"HTTP/1.1 413 ")


def test_who_sends_its_too_long_body_at_once_still_gets_to_read_the_answer(gateway):
    (answer,) = _exchange(gateway, _post(b"Content-Length: 20000000", body=bytes(4_000_000)))

    assert answer.status == 413


def test_a_body_that_ends_early_is_not_taken_for_a_shorter_one(gateway, upstream):
    with gateway.socket() as client:
        client.sendall(_post(b"Content-Length: 5", body=b"hell"))
        client.shutdown(socket.SHUT_WR)
        (answer,) = _answers(_rest(client))

    assert (answer.status, upstream.requests) == (400, [])


def test_a_connection_outlives_a_small_body_that_nobody_wanted(gateway):
    nowhere = _post(b"Content-Length: 43", body=SMUGGLED).replace(b"/cart/items", b"/nowhere")

    answers = _exchange(gateway, nowhere + _closing(GET))

    assert [answer.status for answer in answers] == [404, 200]


EXPECTING = _post(b"Content-Length: 5", b"Expect: 100-Continue", b"Connection: close")


def test_who_waits_to_send_a_body_is_told_to_when_it_is_wanted(gateway):
    with gateway.socket() as client:
        client.sendall(EXPECTING)
        word = client.recv(65536)
        client.sendall(b"hello")
        (answer,) = _answers(_rest(client))

    assert word == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert json.loads(answer.body)["length"] == 5
    assert "Expect" not in json.loads(answer.body)["headers"]


def test_who_waits_to_send_a_body_that_is_not_wanted_is_only_told_so(gateway, upstream):
    too_long = EXPECTING.replace(b"Length: 5", b"Length: 99999999").replace(b"Connection: close", b"X-Test: a")
    nowhere = _post(b"Content-Length: 5", b"Expect: 100-continue").replace(b"/cart", b"/nowhere")

    for head, status in ((too_long, 413), (nowhere, 404)):
        with gateway.socket() as client:
            client.sendall(head)
            received = _rest(client)

        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert _answers(received)[0].headers["Connection"] == "close"
    assert upstream.requests == []


@pytest.mark.parametrize(
    "request_", [EXPECTING + b"hello", EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello"], ids=["1.1", "1.0"]
)
def test_who_does_not_wait_is_not_told_to_go_on(gateway, request_):
    with gateway.socket() as client:
        client.sendall(request_)
        received = _rest(client)

    assert received[9:12] == b"200"


def _trickle(client: socket.socket, piece: bytes = b"a") -> bytes:
    """Send a byte now and then until an answer comes, or the end, or for ten seconds."""
    client.settimeout(0.1)
    for _ in range(100):
        with suppress(TimeoutError, BrokenPipeError):
            client.sendall(piece)
        with suppress(TimeoutError):
            return client.recv(65536)
    raise AssertionError("the gateway waits for ever")


def test_a_head_that_trickles_in_is_cut_off(impatient, upstream):
    with impatient.socket() as client:
        client.sendall(GET[:-2] + ORIGIN + b"\r\nX-Test: ")
        begin = time.monotonic()
        (answer,) = _answers(_trickle(client))

    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert (answer.status, json.loads(answer.body)["code"]) == (408, "request_timeout")
    assert time.monotonic() - begin < 2
    assert upstream.requests == []


@pytest.mark.parametrize("said", [b"", GET], ids=["at first", "after a request"])
def test_who_is_silent_is_hung_up_on(impatient, said):
    with impatient.socket() as client:
        client.sendall(said)
        begin = time.monotonic()
        received = _rest(client)

    assert 0.4 < time.monotonic() - begin < 3
    assert len(_answers(received)) == len(said[:1])


@pytest.mark.parametrize("piece", [b"", b"a"], ids=["stalls", "trickles"])
def test_a_body_that_stalls_or_trickles_is_cut_off(impatient, upstream, piece):
    with impatient.socket() as client:
        client.sendall(_post(b"Content-Length: 1000", body=b"hello"))
        begin = time.monotonic()
        received = _trickle(client, piece)

    assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert time.monotonic() - begin < 2
    assert upstream.requests == []


def test_a_long_body_that_stalls_leaves_the_service_alone(impatient, upstream):
    with impatient.socket() as client:
        client.sendall(_post(b"Content-Length: 4000000", body=bytes(2_000_000)))

        assert upstream.hung_up.wait(5)


def test_a_body_may_take_its_time_as_long_as_it_goes_on(impatient):
    with impatient.socket() as client:
        client.sendall(_post(b"Content-Length: 4000", b"Connection: close"))
        for _ in range(4):
            time.sleep(0.3)
            client.sendall(bytes(1000))
        (answer,) = _answers(_rest(client))

    assert json.loads(answer.body)["length"] == 4000


def test_who_does_not_read_its_answer_is_hung_up_on(impatient, upstream):
    with impatient.socket() as client:
        client.sendall(_head(line=b"GET /products/endless HTTP/1.1"))

        assert upstream.hung_up.wait(5)


PRODUCTS = GET.replace(b"/cart", b"/products")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello"
CLOSED = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello"
IN_CHUNKS = CLOSED.replace(b"hello", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").replace(
    b"OK\r\n", b"OK\r\nTransfer-Encoding: chunked\r\n"
)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize(
    ("answer", "hangs_up"),
    [
        (PLAIN, False),
        (IN_CHUNKS, False),
        (CLOSED, True),
        (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), True),
        (CLOSED.replace(b"HTTP/1.1", b"HTTP/1.0"), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, False),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + PLAIN, False),
        (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + IN_CHUNKS, False),
    ],
    ids=["length", "chunks", "end", "1.0", "1.0 end", "100", "103", "102 103 chunks"],
)
def test_however_a_service_frames_its_answer_every_client_can_read_it(gateway, stub, version, answer, hangs_up):
    stub.answer, stub.hangs_up = answer, hangs_up

    (received,) = _exchange(gateway, _closing(PRODUCTS.replace(b"HTTP/1.1", version)))

    assert (received.status, received.body) == (200, b"hello")
    assert received.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert "Link" not in received.headers
    assert version == b"HTTP/1.1" or "Transfer-Encoding" not in received.headers


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n'),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
def test_behind_an_answer_without_a_body_comes_the_next_one(gateway, stub, method, answer):
    stub.answer = answer
    request = PRODUCTS.replace(b"GET", method)

    received = _exchange(gateway, request + request + _closing(GET), method.decode(), method.decode(), "GET")

    assert [each.status for each in received] == [int(answer[9:12])] * 2 + [200]
    assert received[0].body == received[1].body == b""
    assert "Content-Type" not in received[0].headers
    assert int(answer[9:12]) == 200 or "Transfer-Encoding" not in received[0].headers


@pytest.mark.parametrize("field", [b"X-Test: a\x01b", b"X(Test): a"])
def test_an_answer_that_cannot_be_passed_on_is_a_502_like_every_other(gateway, stub, field):
    stub.answer = PLAIN.replace(b"Set-Cookie: a=1", field)

    (answer,) = _exchange(gateway, _closing(PRODUCTS))

    assert answer.status == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b"Test" not in answer.body


@pytest.mark.parametrize("target", [b"/cart/1/a%2Fb%20c%c3%a9?q=%00&q=%", b"/cart/%7e?", b"/cart/a;b=1,2:3@!$'()*+|[]"])
def test_targets_are_passed_on_as_they_are_spelt(gateway, target):
    (answer,) = _exchange(gateway, _closing(GET.replace(b"/cart", target)))

    assert json.loads(answer.body)["target"] == target.decode()


@pytest.mark.parametrize(
    "target",
    [
        *(b"//cart", b"//shop/cart", b"/cart//items", b"/%2fcart", b"/cart/./items", b"/cart/..", b"/."),
        *(b"/auth//validate", b"/auth/%76alidate", b"/%69nternal"),
    ],
)
def test_targets_that_might_lead_elsewhere_lead_nowhere(gateway, upstream, target):
    (answer,) = _exchange(gateway, _closing(GET.replace(b"/cart", target)))

    assert (answer.status, upstream.requests) == (404, [])
