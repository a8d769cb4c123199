from itertools import product

import pytest

from shopkit.headers import MAX_LENGTH
from shopkit.testing import cpu_seconds

MOST_SECONDS = 0.1
SIZES = (8_000, 32_000)
PARSED = ["Accept", "Accept-Encoding", "Accept-Language", "Range", "If-Range", "If-None-Match", "If-Match", "Origin"]
OTHERS = ["Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Host", "X-Request-ID", "Idempotency-Key"]
STARTS = ["a=\t", "a ", "a/b\t", "W/\t", "bytes=\t", '"\\', "a;q=", ",", ";", "a, ", "Bearer ", "%", "\xa0"]
HOSTILE = list(product(STARTS, ('"', "a")))


def _hostile(start, end, size):
    """Something like `a=<much white space>"`: the start once, its last letter again and again, and an end."""
    return start + start[-1] * (size - len(start) - 1) + end


@pytest.fixture
def client(app):
    """One that sends cookies as a test gives them."""
    return app.test_client(use_cookies=False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*PARSED, *OTHERS, "Content-Type"])
def test_no_header_takes_longer_to_read_than_to_send(client, name, size):
    for start, end in HOSTILE:
        sent = {"headers": {name: _hostile(start, end, size)}}

        assert cpu_seconds(lambda sent=sent: client.get("/fail/conflict", **sent), MOST_SECONDS) < MOST_SECONDS, (
            start,
            end,
        )
        assert client.get("/fail/conflict", **sent).status_code in (409, 431), (start, end)


@pytest.mark.parametrize("name", PARSED)
def test_a_field_that_is_too_long_is_refused_by_name_of_the_error(client, name):
    answer = client.get("/fail/conflict", headers={name: "a" * (MAX_LENGTH + 1)})

    assert (answer.status_code, answer.content_type) == (431, "application/problem+json")
    assert answer.json["code"] == "request_header_fields_too_large"
    assert client.get("/fail/conflict", headers={name: "a" * MAX_LENGTH}).status_code == 409


def test_cookies_are_neither_read_nor_set(client):
    answer = client.get("/fail/conflict", headers={"Cookie": "session=" + "a" * 4000})

    assert answer.status_code == 409
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_a_long_query_costs_little(client):
    for text in ("a=" + "%" * 8000, "&" * 8000, "=" * 8000, "a=1&" * 2000, "a=" + "+" * 8000 + "b", "%ff" * 2600):
        assert cpu_seconds(lambda text=text: client.get(f"/fail/conflict?{text}"), MOST_SECONDS) < MOST_SECONDS
