"""Who is behind tokens, as the auth service said up to a minute ago: to count by, and for nothing else."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Event, Lock
from typing import NamedTuple

from requests.adapters import BaseAdapter

from forwarding.upstreams import UpstreamPool
from limits.soft_dependency import Away, SoftDependency
from shopkit.circuit_breaker import Clock
from shopkit.errors import NotSignedIn, ShopError, UpstreamRefused
from shopkit.http_client import ServiceClient

ASK_SECONDS = 0.5
REMEMBER_SECONDS = 60.0
MAX_TOKENS = 20_000


class Caller(NamedTuple):
    """Somebody with an account, and their role: a customer, staff, or one of the shop's own programs."""

    id: str
    role: str


Introspect = Callable[[str], Caller | None]
"""Takes an access token and returns whose it is, None for nobody's; raises ShopError if it cannot tell."""


def introspection(auth: UpstreamPool, adapter: BaseAdapter | None = None) -> Introspect:
    """A way to ask the auth service. It has little time to answer; taking longer is not counted as its failure."""
    clients = {each.url: ServiceClient(auth.service, each.url, adapter) for each in auth.upstreams}

    def introspect(token: str) -> Caller | None:
        slot = auth.take()
        try:
            user = clients[slot.upstream.url].call("POST", "/validate", token=token, seconds=ASK_SECONDS)["user"]
            return Caller(str(user["id"]), str(user["role"]))
        except (NotSignedIn, UpstreamRefused):
            return None
        finally:
            slot.release()

    return introspect


def bearer_token(authorization: str) -> str | None:
    """The token in such a header, None if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Callers:
    """Remembers whose tokens these are; the tokens themselves are not kept."""

    def __init__(self, introspect: Introspect, clock: Clock) -> None:
        self._introspect = introspect
        self._clock = clock
        not_ours = (ShopError, ValueError, LookupError, TypeError)  # away, or not our auth service at all
        self._auth = SoftDependency("the auth service", "new tokens count by address", not_ours, clock)
        self._lock = Lock()
        self._known: OrderedDict[bytes, tuple[Caller | None, float]] = OrderedDict()
        self._asking: dict[bytes, Event] = {}

    @contextmanager
    def recall(self, token: str | None) -> Iterator[Caller | None]:
        """Whose token this is, if that is known. If not, the auth service is asked, but only after the `with` block.

        By then the request has been charged to its address, or refused: who makes up tokens pays for the asking.
        Of several requests with the same new token one asks and the others wait for it.
        """
        if token is None:
            yield None
            return
        digest = _digest(token)
        if not self._must_ask(digest):
            yield self._caller(digest)
            return
        try:
            yield self._caller(digest)
            self._ask(digest, token)
        finally:
            self._asking.pop(digest).set()

    def last_known(self, token: str) -> Caller | None:
        """Whose token this was when it was last asked about, without asking.

        :raise Away: nobody has ever been able to say.
        """
        try:
            return self._known[_digest(token)][0]
        except KeyError:
            raise Away from None

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

    def _caller(self, digest: bytes) -> Caller | None:
        """As last known, however long ago: a token that was valid counts until the auth service denies it."""
        caller, _ = self._known.get(digest, (None, 0.0))
        return caller

    def _ask(self, digest: bytes, token: str) -> None:
        try:
            caller = self._auth.call(lambda: self._introspect(token))
        except Away:
            return
        with self._lock:
            self._known[digest] = (caller, self._clock() + REMEMBER_SECONDS)
            self._known.move_to_end(digest)
            if len(self._known) > MAX_TOKENS:
                self._known.popitem(last=False)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
