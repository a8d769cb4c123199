"""Nonsense of every kind on the wire: it is answered properly or hung up on, at once, and harms nobody else."""

import os
import re
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.processes

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
SECONDS = 2.0

METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"get", b"G", b"PRI", b""]
TARGETS = [
    *(b"/", b"/cart", b"/cart/items?a=1&b=%00", b"/api/orders/7/a%2fb", b"/auth/login", b"/health/live", b"/nowhere"),
    *(b"//cart", b"/cart/../metrics", b"/%2e%2e/", b"/c%zz", b"/cart#a", b"*", b"http://shop/cart", b"shop:80", b""),
    *(b"/openapi.json", b"/docs", b"/status", b"/metrics", b"/socket.io/?EIO=4&transport=polling", b'/cart?[]|{}^`\\"'),
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ", b""]
NAMES = [
    *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"TE", b"Trailer"),
    *(b"Content-Type", b"Accept-Encoding", b"Authorization", b"Cookie", b"Range", b"If-None-Match", b"Origin"),
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"Forwarded", b"X-Request-ID", b"Sec-WebSocket-Key", b"Referer"),
    *(b"Access-Control-Request-Method", b"X_Forwarded_For", b"Content_Length", b"X-Test ", b" X-Test", b"\0", b""),
]
VALUES = [
    *(b"shop", b"shop:99999", b"[::1", b"5", b"0", b"5, 5", b"+5", b"0x5", b"99999999999999", b"-1", b"chunked"),
    *(b"identity, chunked", b"gzip", b"close", b"keep-alive", b"keep-alive, Upgrade", b"content-length, host"),
    *(b"100-continue", b"websocket", b"h2c", b"bytes=0-", b'"', b"null", b"https://evil.example", b"=?utf-8?q?a?="),
    *(b"127.0.0.1, ::1", b"for=[::1]:x", b"\t", b"\x0b", b"a\0b", b"a\rb", b"a\nb", b"\xff\xfe", b"a" * 9000, b""),
]
BODIES = [
    *(
        b"",
        b"hello",
        b"{}",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;x\r\nhello\r\n0\r\n\r\n",
        b"fffffffff\r\n",
        b"0\r\n",
        b"\r\n",
    ),
    *(b"0\r\nHost: evil\r\n\r\n", b"GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
]


def _mostly(usual: bytes, others: list[bytes]) -> st.SearchStrategy[bytes]:
    odd = st.one_of(st.sampled_from(others), st.binary(max_size=20))
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else st.just(usual))


FRAMED = [
    *((b"", b""), (b"Content-Length: 5\r\n", b"hello"), (b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello")),
    (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
]
FIELD = st.builds(b"%b: %b\r\n".__mod__, st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)))
REQUEST = st.builds(
    lambda line, host, framed, fields, end, odd_body: b"".join(
        [b" ".join(line), b"\r\n", host, framed[0], *fields, end, odd_body or framed[1]]
    ),
    line=st.tuples(
        st.sampled_from([b"GET", b"POST", *METHODS]), _mostly(b"/cart", TARGETS), _mostly(b"HTTP/1.1", VERSIONS)
    ),
    host=_mostly(b"Host: shop\r\n", [b"", b"Host: shop\n", b"Host: shop\r\nHost: shop\r\n"]),
    framed=st.sampled_from(FRAMED),
    fields=st.lists(FIELD, max_size=2),
    end=_mostly(b"\r\n", [b"\n", b"\r", b""]),
    odd_body=_mostly(b"", BODIES),
)
# Where, how many bytes, and what in their place.
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.binary(max_size=2)), max_size=1)
CUTS = st.lists(st.floats(0, 1), max_size=3)
ANSWER = re.compile(
    rb"HTTP/1\.[01] (?P<status>[1-5][0-9]{2}) [ -~]*\r\n(?P<headers>(?:[!#-'*+.^_`|~\w-]+: [\t -~\x80-\xff]*\r\n)*)\r\n"
)


@pytest.fixture(scope="module")
def gateway(start):
    with start() as gateway:
        yield gateway


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 200, suppress_health_check=[HealthCheck.too_slow]
)
@given(requests=st.lists(REQUEST, min_size=1, max_size=3), changes=CHANGES, cuts=CUTS)
def test_nonsense_is_answered_properly_or_hung_up_on(gateway, requests, changes, cuts):
    sent = b"".join(requests)
    for where, length, instead in changes:
        at = round(where * len(sent))
        sent = sent[:at] + instead + sent[at + length :]

    received = _exchange(gateway, sent, cuts)

    assert all(status < 500 for status in _statuses(received)), received


def test_sense_is_still_answered_afterwards(gateway):
    for _ in range(20):
        _exchange(gateway, b"POST /cart HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", [])

    received = _exchange(gateway, b"GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n", [])

    assert _statuses(received) == [200]


def _exchange(gateway, sent: bytes, cuts: list[float]) -> bytes:
    """Send this in pieces and nothing behind it; the gateway has to be done with it soon."""
    ends = [0, *sorted(round(cut * len(sent)) for cut in cuts), len(sent)]
    received = b""
    with gateway.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(SECONDS)
        try:
            for begin, end in pairwise(ends):
                client.sendall(sent[begin:end])
                time.sleep(0.001)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except TimeoutError:
            raise AssertionError("the gateway hangs") from None
        except OSError:
            pass  # it hung up before all was said
    return received


def _statuses(received: bytes) -> list[int]:
    """Of the answers, each of which has to be well-formed and as long as it says."""
    statuses = []
    at = 0
    while at < len(received):
        head = ANSWER.match(received, at)
        assert head, received[at:]
        statuses.append(int(head["status"]))
        length = re.search(rb"(?im)^content-length: ([0-9]+)\r$", head["headers"])
        assert length or statuses[-1] in (100, 204, 304), received[at:]
        at = head.end() + (int(length[1]) if length else 0)
    assert at == len(received), received
    return statuses
