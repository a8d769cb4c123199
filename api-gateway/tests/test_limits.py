import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from flask import Flask, request
from prometheus_client import Counter

from forwarding.upstreams import Upstream, UpstreamPool
from limits import callers, rate_limits
from limits.buckets import LocalBuckets, Rate
from limits.callers import Caller, introspection
from limits.rate_limits import RateLimits, Rates
from limits.soft_dependency import PAUSE_SECONDS
from routing import find_route
from shopkit import errors
from shopkit.errors import UpstreamTimeout
from shopkit.testing import cpu_seconds

HERE, THERE = "198.51.100.1", "198.51.100.2"


class Auth:
    """Knows the tokens of alice and bob, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.goes_on = Event()
        self.goes_on.set()
        self.is_slow = False

    def __call__(self, token: str) -> Caller | None:
        self.asked.append(token)
        self.goes_on.wait(5)
        if self.is_slow:
            raise UpstreamTimeout("The auth service did not answer in time.")
        return {
            "alice": Caller("1", "customer"),
            "alice-again": Caller("1", "customer"),
            "bob": Caller("2", "customer"),
            "frontend": Caller("0", "service"),
        }.get(token)


class Gateway:
    """The limits before an app that answers what it was sent."""

    def __init__(self, rates, clock) -> None:
        self.clock = clock
        self.auth = Auth()
        self.decisions = Counter("decisions", "Requests counted.", ("policy", "decision"), registry=None)
        self.limits = RateLimits(rates, LocalBuckets(self.clock), self.auth, self.decisions, self.clock)
        app = Flask(__name__)
        errors.init_app(app)
        app.add_url_rule("/<path:_>", view_func=self._answer, methods=["GET", "POST"])
        self._app = app

    def _answer(self, _):
        fields = self.limits.admit(request, find_route(request.environ["RAW_URI"]))
        return {"body": request.get_data(as_text=True)}, fields

    def __call__(self, path="/cart", token=None, *, address=HERE, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._app.test_client().open(
            path, headers=headers, environ_base={"REMOTE_ADDR": address}, method="POST" if options else "GET", **options
        )

    def get(self, times, token=None, **options):
        return [self(token=token, **options).status_code for _ in range(times)]

    def sign_in(self, username="alice", path="/login", address=HERE):
        return self(path, json={"username": username, "password": "wrong"}, address=address).status_code

    def register(self, email, username="alice"):
        return self("/register", json={"username": username, "email": email}).status_code

    def decided(self):
        return {
            (sample.labels["policy"], sample.labels["decision"]): sample.value
            for sample in next(iter(self.decisions.collect())).samples
            if sample.name.endswith("_total")
        }


@pytest.fixture
def gateway(clock):
    return Gateway(Rates(requests=Rate(1, 3), sign_in=Rate(0.1, 2), sign_in_address=Rate(0.5, 6)), clock)


def test_an_address_that_asks_too_much_is_refused_until_its_bucket_fills(gateway):
    assert gateway.get(5) == [200, 200, 200, 429, 429]

    gateway.clock.now += 2

    assert gateway.get(3) == [200, 200, 429]


def test_others_are_served_meanwhile(gateway):
    gateway.get(4)

    assert gateway.get(1, address=THERE) == [200]


def test_the_refusal_says_when_to_come_again(gateway):
    gateway.get(3)
    gateway.clock.now += 0.4

    refused = gateway()

    assert refused.status_code == 429
    assert refused.content_type == "application/problem+json"
    assert refused.json["code"] == "too_many_requests"
    assert refused.json["detail"] == "Too many requests; try again in a second."
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit"] == '"requests";r=0;t=1'
    assert refused.headers["RateLimit-Policy"] == '"requests";q=3;w=3'


def test_every_answer_says_what_is_left(gateway):
    answers = [gateway() for _ in range(3)]

    assert [each.headers["RateLimit"] for each in answers] == [f'"requests";r={left};t=1' for left in (2, 1, 0)]
    assert {each.headers["RateLimit-Policy"] for each in answers} == {'"requests";q=3;w=3'}
    assert "Retry-After" not in answers[-1].headers


def test_of_two_buckets_an_answer_shows_the_one_nearest_to_being_empty(gateway):
    first = gateway("/login", json={"username": "alice"})
    for number in range(5):
        last = gateway("/login", json={"username": str(number)})

    assert first.headers["RateLimit"] == '"sign-in";r=1;t=10'
    assert first.headers["RateLimit-Policy"] == '"sign-in";q=2;w=20'
    assert last.headers["RateLimit"] == '"sign-in-address";r=0;t=2'


def test_waiting_as_long_as_one_is_told_is_enough(gateway):
    for _ in range(3):
        refused = gateway("/login", json={"username": "alice"})

    assert refused.json["detail"] == "Too many attempts to sign in; try again in 10 seconds."
    gateway.clock.now += int(refused.headers["Retry-After"])
    assert gateway.sign_in() == 200


def test_somebody_signed_in_is_not_punished_for_neighbours_behind_the_same_address(gateway):
    gateway.get(1, "alice")
    gateway.get(3)

    assert gateway.get(1) == [429]
    assert gateway.get(4, "alice") == [200, 200, 200, 429]


def test_a_user_has_one_bucket_whatever_the_address_or_the_token(gateway):
    gateway.get(1, "alice")
    gateway.get(1, "alice-again", address=THERE)

    assert gateway.get(2, "alice") == [200, 200]
    assert gateway.get(2, "alice-again", address=THERE) == [200, 429]


def test_auth_is_asked_once_a_minute_about_a_token(gateway):
    gateway.get(3, "alice")
    gateway.clock.now += 59
    gateway.get(3, "alice")
    assert gateway.auth.asked == ["alice"]

    gateway.clock.now += 2
    gateway.get(3, "alice")
    assert gateway.auth.asked == ["alice", "alice"]


def test_a_token_that_held_counts_for_its_user_until_it_is_known_not_to(gateway):
    gateway.get(1, "alice")
    gateway.clock.now += 61
    gateway.get(3)

    assert gateway.get(1, "alice") == [200]


def test_wrong_tokens_are_remembered_too_and_count_by_address(gateway):
    assert gateway.get(4, "made-up") == [200, 200, 200, 429]
    assert gateway.auth.asked == ["made-up"]


def test_made_up_tokens_give_nobody_a_fresh_bucket_nor_the_auth_service_work(gateway):
    assert [gateway.get(1, f"made-up-{number}")[0] for number in range(10)] == [200] * 3 + [429] * 7
    assert len(gateway.auth.asked) == 3


def test_no_more_tokens_are_remembered_than_the_bound(gateway, monkeypatch):
    monkeypatch.setattr(callers, "MAX_TOKENS", 2)
    for token in ("alice", "bob", "made-up"):
        gateway.get(1, token)
    gateway.clock.now += 10

    gateway.get(1, "bob")
    gateway.get(1, "alice")

    assert gateway.auth.asked == ["alice", "bob", "made-up", "alice"]


def test_tokens_are_not_kept(gateway):
    gateway.get(1, "alice")

    assert "alice" not in repr(vars(gateway.limits._callers))


def test_without_the_auth_service_requests_count_by_address_and_it_is_left_alone(gateway, caplog):
    gateway.auth.is_slow = True
    gateway.get(2, "alice")
    gateway.get(1, "bob")
    assert gateway.auth.asked == ["alice"]
    assert gateway.get(1) == [429]
    assert caplog.text.count("the auth service is away, so new tokens count by address") == 1

    gateway.clock.now += PAUSE_SECONDS
    gateway.auth.is_slow = False
    gateway.get(2, "alice")
    assert gateway.auth.asked == ["alice", "alice"]
    assert gateway.get(3) == [200, 200, 429]


def test_of_requests_with_the_same_new_token_one_asks_and_the_others_wait_for_it(gateway):
    gateway.auth.goes_on.clear()
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(gateway, token="alice") for _ in range(4)]
        while not gateway.auth.asked:
            time.sleep(0.001)
        gateway.auth.goes_on.set()

    assert gateway.auth.asked == ["alice"]
    assert [each.result().status_code for each in answers] == [200] * 4
    assert gateway.get(3) == [200, 200, 429]  # the one that asked had its token from here


def test_a_refused_request_leaves_nobody_waiting(gateway):
    gateway.get(3)

    assert gateway.get(2, "alice") == [429, 429]
    gateway.clock.now += 1
    assert gateway.get(1, "alice") == [200]
    assert gateway.auth.asked == ["alice"]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:198.51.100.1", "198.51.100.1", True),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("nonsense:1", "nonsense:2", False),
    ],
)
def test_an_ipv6_address_counts_by_its_network_and_an_ipv4_one_by_itself(gateway, one, other, shared):
    gateway.get(3, address=one)

    assert gateway.get(1, address=other) == [429 if shared else 200]


def test_guessing_passwords_is_refused_sooner_than_signing_in_with_many_accounts(gateway):
    assert [gateway.sign_in("alice") for _ in range(3)] == [200, 200, 429]
    assert [gateway.sign_in(str(number)) for number in range(5)] == [200, 200, 200, 200, 429]


def test_nobody_is_locked_out_by_guesses_from_elsewhere(gateway):
    for _ in range(5):
        gateway.sign_in("alice", address=THERE)

    assert gateway.sign_in("alice") == 200


def test_a_refused_attempt_takes_nothing_from_the_address(gateway):
    for _ in range(20):
        gateway.sign_in("alice")

    assert [gateway.sign_in(str(number)) for number in range(5)] == [200, 200, 200, 200, 429]


def test_an_account_is_the_same_under_either_name_of_the_field(gateway):
    bodies = ({"username": "alice"}, {"email": "alice"}, {"username": None, "email": "alice"}, {"email": "bob"})

    assert [gateway("/login", json=body).status_code for body in bodies] == [200, 200, 429, 200]


@pytest.mark.parametrize("username", ["Alice", " alice\t", "ALICE", "\uff41lice"])
def test_names_that_the_auth_service_takes_for_the_same_are_one_account(gateway, username):
    assert [gateway.sign_in(each) for each in ("alice", username, username)] == [200, 200, 429]


@pytest.mark.parametrize("path", ["/login?next=1", "/auth/login", "/api/auth/login", "/%6Cogin", "/api/lo%67in"])
def test_no_spelling_of_a_path_leads_around_the_limit(gateway, path):
    assert [gateway.sign_in(path=path) for _ in range(3)] == [200, 200, 429]


def test_registering_counts_by_e_mail_address(gateway):
    assert [gateway.register("a@example.com", str(number)) for number in range(3)] == [200, 200, 429]
    assert gateway.register("b@example.com") == 200


def test_refreshing_counts_by_token_and_asks_nobody(gateway):
    assert [gateway("/refresh", "one", json={}).status_code for _ in range(3)] == [200, 200, 429]
    assert gateway("/refresh", "other", json={}).status_code == 200
    assert gateway.auth.asked == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b"[]", b"null", b"1", b"{}", b'{"username": null}', b'{"username": ["alice"]}'),
        *(b'{"username": "\\ud800"}', b"[" * 60_000, b" " * rate_limits.MAX_BODY_BYTES + b'{"username": "alice"}'),
    ],
)
def test_nobody_gets_around_the_limit_by_hiding_the_account(gateway, body):
    other = {"data": b"nonsense"}

    assert [gateway("/login", **each).status_code for each in ({"data": body}, other, other)] == [200, 200, 429]


def test_a_chunked_body_hides_the_account_too(gateway):
    chunked = {"input_stream": None, "headers": {"Transfer-Encoding": "chunked"}}

    def send():
        with gateway._app.test_request_context("/login", method="POST", **chunked):
            return gateway.limits.admit(request, find_route("/login"))["RateLimit"]

    assert [send(), send()] == ['"sign-in";r=1;t=10', '"sign-in";r=0;t=10']


def test_a_name_that_would_take_long_to_normalise_does_not(gateway):
    name = "a" + "\u0315\u0300" * 10_000

    assert cpu_seconds(lambda: gateway.sign_in(name), 0.1) < 0.1


def test_the_body_is_still_there_for_the_service(gateway):
    assert gateway("/login", data=b'{"username": "alice"}').json == {"body": '{"username": "alice"}'}


def test_signing_in_takes_nothing_from_other_requests(gateway):
    for number in range(6):
        gateway.sign_in(str(number))

    assert gateway.get(3) == [200, 200, 200]


def test_other_requests_to_the_auth_service_are_ordinary_ones(gateway):
    assert gateway("/logout", json={}).headers["RateLimit"].startswith('"requests"')
    assert gateway("/login").headers["RateLimit"].startswith('"requests"')


def test_without_rates_there_is_no_limit(clock):
    gateway = Gateway(Rates(None, None, None), clock)

    assert gateway.get(10, "alice") == [200] * 10
    assert [gateway.sign_in() for _ in range(10)] == [200] * 10
    assert "RateLimit" not in gateway().headers
    assert gateway.auth.asked == []


def test_who_tries_passwords_keeps_no_neighbour_from_refreshing(gateway):
    tried = [gateway.sign_in(f"nobody {number}") for number in range(7)]

    assert tried[-1] == 429
    assert gateway("/refresh", "neighbour", json={}).status_code == 200


def test_decisions_are_counted(gateway):
    gateway.get(4)
    for _ in range(3):
        gateway.sign_in()

    assert gateway.decided() == {
        ("requests", "allowed"): 3,
        ("requests", "refused"): 1,
        ("sign-in", "allowed"): 2,
        ("sign-in", "refused"): 1,
    }


def test_the_auth_service_says_whose_a_token_is(network):
    introspect = introspection(UpstreamPool("auth-service", [Upstream("http://auth", 10)]), network)

    assert introspect("alice") == Caller("1", "customer")
    assert introspect("made-up") is None


def test_a_token_that_the_auth_service_cannot_even_read_keeps_it_from_nobody_else(gateway, network):
    """As one of nearly eight kilobytes, which just fits into a header here, and there no longer."""
    network.on("POST", "/validate", {}, 431)
    gateway.limits._callers._introspect = introspection(
        UpstreamPool("auth-service", [Upstream("http://auth", 10)]), network
    )

    gateway.get(1, "y" * 8165)
    gateway.get(1, "alice")

    assert len(network.calls) == 2


def test_an_auth_service_that_makes_no_sense_is_as_good_as_away(gateway, network):
    network.on("POST", "/validate", ["hello"])
    gateway.limits._callers._introspect = introspection(
        UpstreamPool("auth-service", [Upstream("http://auth", 10)]), network
    )

    assert gateway.get(4, "alice") == [200, 200, 200, 429]
    assert len(network.calls) == 1
