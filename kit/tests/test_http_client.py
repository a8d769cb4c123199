import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import orjson
import pytest
import requests

from shopkit import http_client
from shopkit.errors import Conflict, NotAllowed, NotFound, NotSignedIn, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from shopkit.http_client import ServiceClient
from shopkit.service_account import own_token


@pytest.fixture
def partner(network):
    return ServiceClient("partner-service", "http://127.0.0.1:5999/", network)


def test_the_callers_token_travels_on(client, network, alice):
    network.on("GET", "/thing", {"ok": True})

    client.get("/ask", headers=alice)

    assert network.requests[-1].headers["Authorization"] == "Bearer alice"
    assert network.requests[-1].url == "http://127.0.0.1:5999/thing?size=big"


def test_numbers_with_a_point_are_exact(partner, network):
    network.on("GET", "/thing", {"price": 19.99})

    assert partner.get("/thing") == {"price": Decimal("19.99")}


def test_an_empty_answer_is_none(partner, network):
    network.on("DELETE", "/thing", None, 204)

    assert partner.delete("/thing") is None


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, NotSignedIn), (403, NotAllowed), (404, NotFound), (409, Conflict)],
)
def test_what_the_other_service_says_is_said_on(partner, network, status, error):
    network.refuse("GET", "/thing", status, "It is so.", "so", items=[1])

    with pytest.raises(error, match="It is so") as caught:
        partner.get("/thing")
    assert (caught.value.code, caught.value.extra) == ("so", {"items": [1]})


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("content", [b"{", b"1" * 5000, b"[" * 100_000, b"\xff"], ids=lambda content: content[:1])
def test_an_answer_that_cannot_be_read_is_a_failure_of_the_other_service(partner, network, status, content):
    network.on("GET", "/thing", orjson.Fragment(content), status)

    with pytest.raises(UpstreamFailed, match="The partner-service answered"):
        partner.get("/thing")


@pytest.mark.parametrize("status", [413, 414, 422, 431])
def test_what_the_other_service_would_refuse_again_is_no_sign_that_it_is_away(partner, network, status):
    network.on("GET", "/thing", {}, status)

    with pytest.raises(UpstreamRefused, match=f"The partner-service answered {status}."):
        partner.get("/thing")


@pytest.mark.parametrize("status", [301, 400, 429, 500, 503])
def test_any_other_answer_is_a_failure_of_the_other_service(partner, network, status):
    network.on("GET", "/thing", {}, status)

    with pytest.raises(UpstreamFailed, match=f"The partner-service answered {status}."):
        partner.get("/thing")


def test_an_answer_that_is_no_json_is_a_failure_too(partner, network):
    network.on("GET", "/thing", orjson.Fragment(b"<h1>It works!</h1>"))

    with pytest.raises(UpstreamFailed, match="what is no JSON"):
        partner.get("/thing")


@pytest.mark.parametrize("body", [None, [], {"unlike": "ours"}])
def test_a_404_that_is_not_ours_is_a_failure_too(partner, network, body):
    network.on("GET", "/thing", body, 404)

    with pytest.raises(UpstreamFailed):
        partner.get("/thing")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (requests.ConnectionError, UpstreamFailed),
        (requests.ConnectTimeout, UpstreamFailed),
        (requests.ReadTimeout, UpstreamTimeout),
    ],
)
def test_no_answer_has_a_meaning_and_no_address(partner, network, error, meaning):
    network.down("GET", "/thing", error)

    with pytest.raises(meaning) as caught:
        partner.get("/thing")
    assert "127.0.0.1" not in str(caught.value)


class TestOwnToken:
    @pytest.fixture
    def clock(self):
        return [0.0]

    @pytest.fixture
    def token(self, network, clock):
        network.on("POST", "/token", {"access_token": "ours", "expires_in": 600})
        return own_token(ServiceClient("auth-service", "http://auth", network), "me", "secret", lambda: clock[0])

    def test_it_is_asked_for_once_and_again_shortly_before_it_ends(self, token, network, clock):
        for now in (0.0, 500.0, 569.0, 570.0, 571.0):
            clock[0] = now
            assert token() == "ours"

        assert len(network.calls) == 2
        assert network.sent("POST", "/token")[0] == {
            "grant_type": "client_credentials",
            "client_id": "me",
            "client_secret": "secret",
        }

    def test_it_is_sent_instead_of_the_callers(self, app, token, network, alice):
        network.on("GET", "/thing", {})

        with app.test_request_context(headers=alice):
            ServiceClient("partner-service", "http://partner", network, token).get("/thing")

        assert network.requests[-1].headers["Authorization"] == "Bearer ours"

    @pytest.fixture
    def partner(self, network, token):
        """Lets in who has the newest token; each that is asked for is another one."""
        tokens = (f"ours-{number}" for number in count(1))
        network.on("POST", "/token", answer=lambda _: (200, {"access_token": next(tokens), "expires_in": 600}))
        partner = ServiceClient("partner-service", "http://partner", network, token)
        network.on("POST", "/thing", {"done": True})
        partner.post("/thing")
        return partner

    def _accept(self, network, wanted):
        def answer(request):
            if request.headers["Authorization"] == f"Bearer {wanted}":
                return 200, {"done": True}
            return 401, {"detail": "The token is not valid or has expired.", "code": "not_signed_in"}

        network.on("POST", "/thing", answer=answer)

    def test_one_that_is_refused_is_replaced_and_the_call_repeated(self, partner, network):
        """As when the key that signs was changed, or the auth service's database restored."""
        self._accept(network, "ours-2")

        assert partner.post("/thing", {"size": "big"}) == {"done": True}
        assert partner.post("/thing") == {"done": True}
        assert network.sent("POST", "/thing") == [None, {"size": "big"}, {"size": "big"}, None]
        assert len(network.sent("POST", "/token")) == 2

    def test_of_many_threads_whose_token_is_refused_one_asks_for_another(self, partner, network):
        together = threading.Barrier(8, timeout=10)

        def answer(request):
            if request.headers["Authorization"] == "Bearer ours-1":
                together.wait()
                return 401, {}
            return 200, {"done": True}

        network.on("POST", "/thing", answer=answer)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: partner.post("/thing"), range(8)))

        assert answers == [{"done": True}] * 8
        assert len(network.sent("POST", "/token")) == 2

    @pytest.mark.parametrize(("status", "asked"), [(401, 2), (403, 1)])
    def test_that_it_is_refused_again_is_our_fault_and_not_the_callers(self, partner, network, caplog, status, asked):
        network.calls.clear()
        network.refuse("POST", "/thing", status, "The account is closed.", "no")

        with pytest.raises(UpstreamFailed):
            partner.post("/thing")

        assert network.calls.count(("POST", "/thing")) == asked
        assert "The account is closed." in caplog.text

    def test_that_there_is_none_for_us_is_our_fault_too(self, token, network):
        network.refuse("POST", "/token", 401, "The client id or its secret is wrong.", "not_signed_in")

        with pytest.raises(UpstreamFailed, match="credentials"):
            ServiceClient("partner-service", "http://partner", network, token).get("/thing")

    def test_the_callers_that_is_refused_is_not_tried_again(self, client, network, alice):
        network.refuse("GET", "/thing", 401, "No.", "not_signed_in")

        assert client.get("/ask", headers=alice).status_code == 401
        assert network.calls.count(("GET", "/thing")) == 1


@pytest.fixture
def server():
    """A real server that counts its connections; it closes each after `requests_each` requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        connections, requests_each, answers_each, authorization = 0, 1000, 1000, None

        def setup(self):
            super().setup()
            type(self).connections += 1
            self.served = 0

        def do_GET(self):
            type(self).authorization = self.headers["Authorization"]
            if self.served >= self.answers_each:
                self.close_connection = True  # without a word, as a server does whose patience has just ended
                return
            body = json.dumps({"path": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.served += 1
            self.close_connection = self.served >= self.requests_each

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.handler = Handler
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_calls_share_a_connection(server):
    client = ServiceClient("real", f"http://127.0.0.1:{server.server_port}")

    for _ in range(20):
        client.get("/thing")

    assert server.handler.connections == 1
    client.close()


def test_whoever_asks_while_all_connections_are_in_use_waits_for_one(server, monkeypatch):
    monkeypatch.setattr(http_client, "POOL_SIZE", 2)
    client = ServiceClient("real", f"http://127.0.0.1:{server.server_port}")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: client.get("/thing"), range(60)))

    assert server.handler.connections <= 2
    client.close()


def test_proxies_and_passwords_of_the_environment_are_for_others(server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    client = ServiceClient("real", f"http://127.0.0.1:{server.server_port}")

    assert client.get("/thing") == {"path": "/thing"}
    assert server.handler.authorization is None
    client.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(server, method):
    server.handler.requests_each = 1
    client = ServiceClient("real", f"http://127.0.0.1:{server.server_port}")

    for _ in range(5):
        assert client.call(method, "/thing") == {"path": "/thing"}
    client.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_is_closed_just_as_it_is_used_is_no_failure(server, method):
    server.handler.answers_each = 1
    client = ServiceClient("real", f"http://127.0.0.1:{server.server_port}")

    for _ in range(3):
        assert client.call(method, "/thing") == {"path": "/thing"}
    client.close()


def test_a_service_that_does_not_answer_in_time_is_asked_once(monkeypatch):
    monkeypatch.setattr(http_client, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.05)
        client = ServiceClient("silent", f"http://127.0.0.1:{silent.getsockname()[1]}")

        with pytest.raises(UpstreamTimeout):
            client.call("GET", "/thing", seconds=0.2)

        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()
    client.close()


def test_a_service_that_is_away_is_said_to_be():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = ServiceClient("away", f"http://127.0.0.1:{port}")

    with pytest.raises(UpstreamFailed, match="The away is not available"):
        client.ping()
    client.close()
