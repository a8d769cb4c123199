"""Rate limits: how much each user, or each address that nobody has signed in from, may ask of the shop."""

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil, floor
from threading import Event, Lock
from urllib.parse import unquote

import orjson
from prometheus_client import Counter
from requests.adapters import BaseAdapter
from werkzeug import Request
from werkzeug.exceptions import ClientDisconnected

from buckets import Away, Bucket, Clock, Helper, LocalBuckets, Rate, RedisBuckets
from routing import Route
from shopkit.errors import NotSignedIn, ShopError, TooManyRequests, UpstreamRefused
from shopkit.http_client import ServiceClient
from upstreams import Service

ASK_SECONDS = 0.5
REMEMBER_SECONDS = 60.0
MAX_TOKENS = 20_000
MAX_BODY_BYTES = 64 * 1024
MAX_NAME_LENGTH = 254  # what is longer is no account's, and takes long to normalise

REQUESTS, SIGN_IN, SIGN_IN_ADDRESS = "requests", "sign-in", "sign-in-address"
# How one signs in, and where the body names the account: in the first of these that says something.
SIGN_IN_PATHS = {"/login": ("username", "email"), "/register": ("email",), "/refresh": ()}

WhoIs = Callable[[str], str | None]
"""Takes an access token and returns whose it is, None for nobody's; raises ShopError if it cannot tell."""


@dataclass(frozen=True)
class Rates:
    """None is no limit.

    :param requests: of a user, or of an address as far as nobody has signed in.
    :param sign_in: of an address to one account.
    :param sign_in_address: of an address to all accounts.
    """

    requests: Rate | None
    sign_in: Rate | None
    sign_in_address: Rate | None


def ask_auth(auth: Service, adapter: BaseAdapter | None = None) -> WhoIs:
    """A way to ask the auth service. It has little time to answer; if that is not enough, its breaker does not mind."""
    clients = {each.url: ServiceClient(auth.name, each.url, adapter) for each in auth.upstreams}

    def who_is(token: str) -> str | None:
        place = auth.take()
        try:
            return str(clients[place.url].call("POST", "/validate", token=token, seconds=ASK_SECONDS)["user"]["id"])
        except (NotSignedIn, UpstreamRefused):
            return None
        finally:
            place.leave()

    return who_is


class Limits:
    """Counts requests, and refuses those that are too many.

    :param decisions: a counter with the labels `policy` and `decision`.
    """

    def __init__(
        self,
        rates: Rates,
        buckets: LocalBuckets | RedisBuckets,
        who_is: WhoIs,
        decisions: Counter,
        clock: Clock = time.monotonic,
    ) -> None:
        self._rates = rates
        self._buckets = buckets
        self._callers = _Callers(who_is, clock)
        self._decisions = cache(decisions.labels)

    def admit(self, request: Request, route: Route) -> dict[str, str]:
        """Count a request.

        :return: header fields for its answer: draft-ietf-httpapi-ratelimit-headers-11.
        :raise TooManyRequests: its headers are these and `Retry-After`.
        """
        if route.service == "auth-service" and request.method == "POST":
            path = unquote(route.target.partition("?")[0])
            if path in SIGN_IN_PATHS:
                return self._admit_sign_in(request, SIGN_IN_PATHS[path])
        if self._rates.requests is None:
            return {}
        with self._callers.recall(_token(request)) as user:
            return self._charge([Bucket(REQUESTS, f"user {user}" if user else _address(request), self._rates.requests)])

    def _admit_sign_in(self, request: Request, names: tuple[str, ...]) -> dict[str, str]:
        # Not by account alone: somebody who tries passwords from elsewhere would lock its owner out. Only the auth
        # service knows which name and e-mail address are one account; who uses both has twice the rate.
        address = _address(request)
        limits = [
            (SIGN_IN, f"{address} {_account(request, names)}", self._rates.sign_in),
            (SIGN_IN_ADDRESS, address, self._rates.sign_in_address),
        ]
        buckets = [Bucket(policy, who, rate) for policy, who, rate in limits if rate]
        return self._charge(buckets) if buckets else {}

    def _charge(self, buckets: list[Bucket]) -> dict[str, str]:
        allowed, left = self._buckets.take(buckets)
        # The one nearest to being empty; of two empty ones the one that has its next token later.
        tokens, bucket = min(
            zip(left, buckets, strict=True), key=lambda each: (floor(each[0]), -_seconds_to_next(*each))
        )
        seconds = _seconds_to_next(tokens, bucket)
        fields = _fields(bucket, floor(tokens), seconds)
        self._decisions(bucket.policy, "allowed" if allowed else "refused").inc()
        if not allowed:
            raise _too_many(bucket, seconds, fields)
        return fields


def _seconds_to_next(tokens: float, bucket: Bucket) -> int:
    return ceil((floor(tokens) + 1 - tokens) / bucket.rate.per_second)


def _fields(bucket: Bucket, remaining: int, seconds: int) -> dict[str, str]:
    policy, _, rate = bucket
    return {
        "RateLimit-Policy": f'"{policy}";q={rate.burst};w={ceil(rate.burst / rate.per_second)}',
        "RateLimit": f'"{policy}";r={remaining};t={seconds}',
    }


def _too_many(bucket: Bucket, seconds: int, fields: dict[str, str]) -> TooManyRequests:
    what = "requests" if bucket.policy == REQUESTS else "attempts to sign in"
    wait = "a second" if seconds == 1 else f"{seconds} seconds"
    return TooManyRequests(f"Too many {what}; try again in {wait}.", {**fields, "Retry-After": str(seconds)})


class _Callers:
    """Whose tokens these are, as the auth service said up to a minute ago: to count by, and for nothing else."""

    def __init__(self, who_is: WhoIs, clock: Clock) -> None:
        self._who_is = who_is
        self._clock = clock
        not_ours = (ShopError, ValueError, LookupError, TypeError)  # away, or not our auth service at all
        self._auth = Helper("the auth service", "new tokens count by address", not_ours, clock)
        self._lock = Lock()
        self._known: OrderedDict[bytes, tuple[str | None, float]] = OrderedDict()
        self._asking: dict[bytes, Event] = {}

    @contextmanager
    def recall(self, token: str | None) -> Iterator[str | None]:
        """Whose token this is, if that is known. If not, the auth service is asked, but only after the `with` block.

        By then the request has been charged to its address, or refused: who makes up tokens pays for the asking.
        Of several requests with the same new token one asks and the others wait for it.
        """
        if token is None:
            yield None
            return
        digest = sha256(token.encode()).digest()
        if not self._must_ask(digest):
            yield self._user(digest)
            return
        try:
            yield self._user(digest)
            self._ask(digest, token)
        finally:
            self._asking.pop(digest).set()

    def _must_ask(self, digest: bytes) -> bool:
        with self._lock:
            _, until = self._known.get(digest, (None, 0.0))
            if self._clock() < until:
                return False
            asked = self._asking.setdefault(digest, mine := Event())
        if asked is mine:
            return True
        asked.wait(ASK_SECONDS)
        return False

    def _user(self, digest: bytes) -> str | None:
        """The user as last known, however long ago: a token that was valid counts until the auth service denies it."""
        user, _ = self._known.get(digest, (None, 0.0))
        return user

    def _ask(self, digest: bytes, token: str) -> None:
        try:
            user = self._auth.ask(lambda: self._who_is(token))
        except Away:
            return
        with self._lock:
            self._known[digest] = (user, self._clock() + REMEMBER_SECONDS)
            self._known.move_to_end(digest)
            if len(self._known) > MAX_TOKENS:
                self._known.popitem(last=False)


def _token(request: Request) -> str | None:
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _address(request: Request) -> str:
    return _network(request.remote_addr or "")


@lru_cache(1000)
def _network(address: str) -> str:
    """The address to count by; of IPv6 the /64, for one customer usually has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]  # not an address: a trusted proxy wrote it
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed.packed, 64), strict=False))


def _account(request: Request, names: tuple[str, ...]) -> str:
    """The account that somebody tries to sign in to, as a digest.

    Whatever names none counts as one and the same, or hiding the name from us would be a way around the limit.
    """
    who = _named_in_body(request, names) if names else _token(request)
    return sha256((who or "").encode(errors="replace")).hexdigest()[:32]


def _named_in_body(request: Request, names: tuple[str, ...]) -> str:
    """The name as the auth service compares it; empty if the body is long, or nonsense."""
    if request.content_length is None or request.content_length > MAX_BODY_BYTES:
        return ""
    try:
        said = orjson.loads(request.get_data())
    except (ValueError, ClientDisconnected):
        return ""
    who = next((said[name] for name in names if said.get(name)), None) if isinstance(said, dict) else None
    return unicodedata.normalize("NFKC", who.strip()[:MAX_NAME_LENGTH]).casefold() if isinstance(who, str) else ""
