"""Documents and Swagger UI's files: made once, compressed once, and not sent to who has them."""

import gzip
from hashlib import sha256

import pytest
from flask import Flask, request

from pages import static_answers
from pages.static_answers import StaticAnswer, StaticFiles, accepts_gzip, is_known
from shopkit.errors import NotFound
from shopkit.headers import MAX_LENGTH
from shopkit.testing import cpu_seconds

BODY = b"var shop = 1;\n" * 1000
NOISE = b"".join(sha256(bytes([each])).digest() for each in range(128))
GZIP = {"Accept-Encoding": "br, gzip"}
LARGE = ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json", "/api/docs/docs.js"]


@pytest.fixture
def ask():
    """`ask(answer, headers)`: what is answered to a request with these."""

    def ask(answer, headers=(), method="GET"):
        app = Flask("gateway")
        app.add_url_rule("/", view_func=lambda: answer.respond(request))
        return app.test_client().open("/", method=method, headers=headers)

    return ask


@pytest.fixture
def documented(network):
    """Services that have nothing to document."""
    network.on(
        "GET", "/openapi.json", {"openapi": "3.1.0", "info": {"title": "a service", "version": "1"}, "paths": {}}
    )


@pytest.fixture
def answer():
    return StaticAnswer(BODY, "text/javascript", "public, max-age=60")


def test_an_answer_is_sent_as_it_is_unless_compression_is_accepted(ask, answer):
    plain, small = ask(answer), ask(answer, GZIP)

    assert (plain.data, plain.headers.get("Content-Encoding")) == (BODY, None)
    assert (gzip.decompress(small.data), small.headers["Content-Encoding"]) == (BODY, "gzip")
    assert len(small.data) < len(BODY) / 10
    for each in (plain, small):
        assert each.headers["Vary"] == "Accept-Encoding"
        assert each.headers["Cache-Control"] == "public, max-age=60"
        assert each.headers["Content-Type"].startswith("text/javascript")
        assert int(each.headers["Content-Length"]) == len(each.data)


def test_each_coding_has_a_strong_tag_of_its_own(ask, answer):
    tags = [ask(answer, headers).headers["ETag"] for headers in ((), GZIP)]

    assert len(set(tags)) == 2
    assert not any(tag.startswith("W/") for tag in tags)


@pytest.mark.parametrize("spelling", ["{}", "W/{}", '"other", {}', "*", '"other" ,W/{}'])
@pytest.mark.parametrize("headers", [{}, GZIP])
def test_who_has_it_gets_a_304_without_a_body(ask, answer, headers, spelling):
    known = ask(answer, headers).headers

    again = ask(answer, {**headers, "If-None-Match": spelling.format(known["ETag"])})

    assert (again.status_code, again.data) == (304, b"")
    assert {"Content-Type", "Content-Encoding"}.isdisjoint(again.headers.keys())
    assert {name: again.headers[name] for name in ("ETag", "Vary", "Cache-Control")} == {
        name: known[name] for name in ("ETag", "Vary", "Cache-Control")
    }


def test_who_has_another_or_the_other_coding_gets_it(ask, answer):
    tag = ask(answer, GZIP).headers["ETag"]

    assert ask(answer, {"If-None-Match": tag}).status_code == 200
    assert ask(answer, {"If-None-Match": '"other"'}).status_code == 200


def test_other_contents_have_another_tag(ask, answer):
    other = StaticAnswer(BODY + b" ", "text/javascript", "public")

    assert ask(answer).headers["ETag"] != ask(other).headers["ETag"]


def test_a_head_answer_says_how_long_it_would_be(ask, answer):
    head = ask(answer, GZIP, "HEAD")

    assert (head.data, head.headers["Content-Length"]) == (b"", ask(answer, GZIP).headers["Content-Length"])


@pytest.mark.parametrize("body", [b"", b"short", NOISE])
def test_what_does_not_become_smaller_is_not_compressed(ask, body):
    assert "Content-Encoding" not in ask(StaticAnswer(body, "text/plain", "public"), GZIP).headers


@pytest.mark.parametrize(
    ("accepted", "is_accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*, gzip;q=0", False),
        ("identity", False),
        ("x-gzip", False),
    ],
)
def test_compression_is_used_only_where_it_is_accepted(accepted, is_accepted):
    assert accepts_gzip(accepted) is is_accepted


@pytest.mark.parametrize("long", [" ", ",", '"', "W/", "gzip,", ";q=0", "*;"])
def test_long_headers_cost_nothing(long):
    text = long * (MAX_LENGTH // len(long))  # what is longer is refused

    assert cpu_seconds(lambda: (accepts_gzip(text), is_known('"x"', text)), 0.01) < 0.01


def test_a_file_is_read_and_compressed_when_it_is_asked_for_and_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(static_answers.gzip, "compress", lambda body, **_: made.append(body) or b"small")
    (tmp_path / "a.js").write_bytes(BODY)
    files = StaticFiles({"a.js": tmp_path / "a.js"}, {".js": "text/javascript"}, "public")
    assert made == []

    assert files.get("a.js") is files.get("a.js")

    assert made == [BODY]
    with pytest.raises(NotFound):
        files.get("b.js")


@pytest.mark.parametrize("path", LARGE)
def test_the_gateways_large_answers_are_compressed_and_have_tags(client, documented, path):
    plain, small = client.get(path), client.get(path, headers=GZIP)

    assert gzip.decompress(small.data) == plain.data
    assert "Accept-Encoding" in small.headers["Vary"]
    assert "Origin" in small.headers["Vary"]
    again = client.get(path, headers={**GZIP, "If-None-Match": small.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_addresses_with_a_digest_are_kept_and_the_document_is_asked_for_again(client, documented):
    assert client.get("/docs/docs.js").headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/openapi.json").headers["Cache-Control"] == "no-cache"
