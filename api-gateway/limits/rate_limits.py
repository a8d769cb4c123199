"""Rate limits: how much each user, and each address, may ask of the shop."""

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import ceil, floor
from urllib.parse import unquote

import orjson
from prometheus_client import Counter
from werkzeug import Request
from werkzeug.exceptions import ClientDisconnected

from client_addresses import visitor_address
from limits.buckets import Bucket, LocalBuckets, Rate, RedisBuckets
from limits.callers import Callers, Introspect, bearer_token
from limits.soft_dependency import Away
from routing import API, Route
from shopkit.addresses import network
from shopkit.auth import SERVICE
from shopkit.circuit_breaker import Clock
from shopkit.errors import NotSignedIn, TooManyRequests
from shopkit.server.edge import UNCAP

MAX_BODY_BYTES = 64 * 1024
MAX_NAME_LENGTH = 254  # what is longer is no account's, and takes long to normalise

ADDRESS, REQUESTS, HEALTH = "address", "requests", "health"
SIGN_IN, SIGN_IN_ADDRESS, REGISTRATION = "sign-in", "sign-in-address", "registration"
# Cheap answers that load balancers and Prometheus ask for. They have a bucket of their own: a load balancer whose
# visitors are too many must not take the gateway for broken.
HEALTH_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
HEALTH_RATE = Rate(50.0, 300)
# How one signs in, and where the body names the account: in the first of these that says something.
REGISTER = "/register"
SIGN_IN_PATHS = {"/login": ("username", "email"), REGISTER: ("email",), "/refresh": ()}

Limit = tuple[str, str, Rate | None]
"""Policy, who, and at which rate; None is no limit."""

_WHAT = {SIGN_IN: "attempts to sign in", SIGN_IN_ADDRESS: "attempts to sign in", REGISTRATION: "new accounts"}


@dataclass(frozen=True)
class Rates:
    """None is no limit.

    :param requests: of a user, or of an address as far as nobody has signed in.
    :param sign_in: of an address to one account.
    :param sign_in_address: of an address to all accounts.
    :param address: of an address in all, whoever signs in from it and whatever it asks for.
    :param registration: of an address, to open accounts.
    """

    requests: Rate | None
    sign_in: Rate | None
    sign_in_address: Rate | None
    address: Rate | None = None
    registration: Rate | None = None


class RateLimits:
    """Counts requests, and refuses those that are too many.

    :param decisions: a counter with the labels `policy` and `decision`.
    :param trusted_proxies: how many append to what an application says of its visitor.
    """

    def __init__(
        self,
        rates: Rates,
        buckets: LocalBuckets | RedisBuckets,
        introspect: Introspect,
        decisions: Counter,
        clock: Clock = time.monotonic,
        trusted_proxies: int = 0,
    ) -> None:
        self._rates = rates
        self._buckets = buckets
        self._callers = Callers(introspect, clock)
        self._decisions = cache(decisions.labels)
        self._trusted_proxies = trusted_proxies

    def admit(self, request: Request, route: Route) -> dict[str, str]:
        """Count a request that leads to a service.

        :return: header fields for its answer: draft-ietf-httpapi-ratelimit-headers-11.
        :raise TooManyRequests: its headers are these and `Retry-After`.
        :raise NotSignedIn: it claims to come from an application of ours, and does not.
        """
        address = self._address(request)
        if route.service == "auth-service" and request.method == "POST":
            path = unquote(route.target.partition("?")[0])
            if path in SIGN_IN_PATHS:
                return self._charge(*self._sign_in_limits(request, address, path))
        if self._rates.requests is None:
            return self._charge((ADDRESS, address, self._rates.address))
        with self._callers.recall(_user_token(request)) as caller:
            return self._charge(*self._request_limits(f"user {caller.id}" if caller else address, address))

    def admit_page(self, request: Request, *, is_preflight: bool) -> dict[str, str]:
        """Count a request that the gateway answers itself: as `admit`, but nobody is asked whose it is.

        Preflights count for the address alone: browsers send them on behalf of people who are signed in.
        """
        address = self._address(request)
        if request.path.removeprefix(f"/{API}") in HEALTH_PATHS:
            return self._charge((HEALTH, address, self._rates.address and HEALTH_RATE))
        if is_preflight:
            return self._charge((ADDRESS, address, self._rates.address))
        return self._charge(*self._request_limits(address, address))

    def _address(self, request: Request) -> str:
        if "HTTP_X_SERVICE_AUTHORIZATION" in request.environ:
            self._trust_application(request)
        return network(request.remote_addr or "")

    def _trust_application(self, request: Request) -> None:
        """Take an application's word for whose request it passes on: from here on that is where it comes from.

        A token that is not known yet is paid for by the address that sends it, before the auth service is asked.
        """
        token = bearer_token(request.environ["HTTP_X_SERVICE_AUTHORIZATION"]) or ""
        with self._callers.recall(token) as caller:
            if caller is None or caller.role != SERVICE:
                sender = network(request.remote_addr or "")
                self._charge(*self._request_limits(sender, sender))
        try:
            caller = self._callers.last_known(token)
        except Away:  # nobody can say whose token it is: the application counts as one address meanwhile
            return
        if caller is None or caller.role != SERVICE:
            raise NotSignedIn("X-Service-Authorization holds no token of a service.", code="wrong_service_token")
        if uncap := request.environ.get(UNCAP):
            uncap()
        visitor = visitor_address(request.environ.get("HTTP_X_FORWARDED_FOR", ""), self._trusted_proxies)
        if visitor:
            request.environ["REMOTE_ADDR"] = request.remote_addr = visitor

    def _request_limits(self, who: str, address: str) -> Sequence[Limit]:
        return (REQUESTS, who, self._rates.requests), (ADDRESS, address, self._rates.address)

    def _sign_in_limits(self, request: Request, address: str, path: str) -> Sequence[Limit]:
        names = SIGN_IN_PATHS[path]
        guesses = (SIGN_IN_ADDRESS, address, self._rates.sign_in_address)
        others = (REQUESTS, address, self._rates.requests)
        # Not by account alone: somebody who tries passwords from elsewhere would lock its owner out. Only the auth
        # service knows which name and e-mail address are one account; who uses both has twice the rate.
        return (
            (SIGN_IN, f"{address} {_account(request, names)}", self._rates.sign_in),
            # Refreshing guesses nothing: whoever tries passwords at this address must not sign its neighbours out.
            guesses if names else others,
            (REGISTRATION, address, self._rates.registration if path == REGISTER else None),
            (ADDRESS, address, self._rates.address),
        )

    def _charge(self, *limits: Limit) -> dict[str, str]:
        buckets = [Bucket(policy, who, rate) for policy, who, rate in limits if rate]
        if not buckets:
            return {}
        allowed, left = self._buckets.take(buckets)
        tokens = min(left)
        bucket = buckets[left.index(tokens)]  # the one nearest to being empty
        if tokens < 1:  # of several empty ones the one that has its next token later
            empty = [each for each in zip(left, buckets, strict=True) if each[0] < 1]
            tokens, bucket = max(empty, key=lambda each: _seconds_to_next(*each))
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
    wait = "a second" if seconds == 1 else f"{seconds} seconds"
    what = _WHAT.get(bucket.policy, "requests")
    return TooManyRequests(f"Too many {what}; try again in {wait}.", {**fields, "Retry-After": str(seconds)})


def _user_token(request: Request) -> str | None:
    return bearer_token(request.environ.get("HTTP_AUTHORIZATION", ""))


def _account(request: Request, names: tuple[str, ...]) -> str:
    """The account that somebody tries to sign in to, as a digest.

    Whatever names none counts as one and the same, or hiding the name from us would be a way around the limit.
    """
    who = _account_in_body(request, names) if names else _user_token(request)
    return sha256((who or "").encode(errors="replace")).hexdigest()[:32]


def _account_in_body(request: Request, names: tuple[str, ...]) -> str:
    """The name as the auth service compares it; empty if the body is long, or nonsense."""
    if request.content_length is None or request.content_length > MAX_BODY_BYTES:
        return ""
    try:
        said = orjson.loads(request.get_data())
    except (ValueError, ClientDisconnected):
        return ""
    who = next((said[name] for name in names if said.get(name)), None) if isinstance(said, dict) else None
    return unicodedata.normalize("NFKC", who.strip()[:MAX_NAME_LENGTH]).casefold() if isinstance(who, str) else ""
