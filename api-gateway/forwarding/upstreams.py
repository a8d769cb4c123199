"""Where a service is: one address or several, which of them is asked next, and which is left alone for a while."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from shopkit.circuit_breaker import BreakerState, CircuitBreaker, Clock
from shopkit.errors import Unavailable

logger = logging.getLogger(__name__)

FAILURES = 5  # in a row, until an upstream is left alone
REST_SECONDS = 1.0  # for how long at first; twice as long each time it fails again
LONGEST_REST_SECONDS = 10.0
BUSY_SECONDS = 1.0  # for how long a request waits for one of the slots, where all are taken
LOOK_AGAIN_SECONDS = 0.05
TRUSTED_AGAIN = 32  # requests at once: an upstream that has come so far may have as many as ever


class Upstream:
    """One address of a service, and how many requests it may have at once.

    Its circuit breaker decides about that. Closed: `max_in_flight`, so that an upstream that hangs holds no more
    requests than that. Open: none. Half-open: one, and one more with each success, as in TCP's slow start, so that an
    upstream that has just come back is not overrun.
    """

    def __init__(self, url: str, max_in_flight: int, clock: Clock = time.monotonic) -> None:
        self.url = url
        self.name = sha256(url.encode()).hexdigest()[:8]
        self._max_in_flight = max_in_flight
        self._slots: set[Slot] = set()
        successes = max(1, min(TRUSTED_AGAIN, max_in_flight) - 1)
        self.breaker = CircuitBreaker(FAILURES, successes, REST_SECONDS, LONGEST_REST_SECONDS, clock)

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight."""
        if self.breaker.is_closed:
            return self._max_in_flight
        return 0 if self.breaker.state is BreakerState.OPEN else 1 + self.breaker.successes

    @property
    def in_flight(self) -> int:
        return len(self._slots)

    @property
    def has_room(self) -> bool:
        return len(self._slots) < (self._max_in_flight if self.breaker.trial_is_due else self.ceiling)

    @property
    def has_room_for_many(self) -> bool:
        """Whether an address that has many requests in progress may have a slot: a quarter is kept for all others."""
        kept = self._max_in_flight // 4 if self.breaker.is_closed else 0
        return self.has_room and len(self._slots) < self._max_in_flight - kept

    def take(self) -> "Slot":
        if not self.breaker.is_closed:
            self.breaker.begin_trial()
        slot = Slot(self)
        self._slots.add(slot)
        return slot

    def release(self, slot: "Slot") -> None:
        self._slots.discard(slot)

    def succeeded(self, slot: "Slot") -> None:
        if slot in self._slots and self.breaker.record_success():
            logger.warning("%s is well again", self.url)

    def failed(self, slot: "Slot") -> None:
        if slot in self._slots and self.breaker.record_failure():
            logger.warning("%s fails and is left alone for %g seconds", self.url, self.breaker.open_seconds)
            # Requests still under way were sent before this: they no longer count, nor does what becomes of them.
            self._slots.clear()


class Slot:
    """The slot of one request at an upstream, from its start until the last byte of the answer."""

    __slots__ = ("_upstream",)

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @property
    def url(self) -> str:
        return self._upstream.url

    @property
    def name(self) -> str:
        return self._upstream.name

    def succeeded(self) -> None:
        self._upstream.succeeded(self)

    def failed(self) -> None:
        self._upstream.failed(self)

    def release(self) -> None:
        self._upstream.release(self)


class Service:
    """All addresses of a service."""

    def __init__(self, name: str, upstreams: Sequence[Upstream], sleep: Callable[[float], object] = time.sleep) -> None:
        self.name = name
        self.upstreams = upstreams
        self._sleep = sleep

    def take(self, instance: str = "", but: Slot | None = None, *, of_many: bool = False) -> Slot:
        """A slot at the upstream where the fewest requests are in flight; where all are taken, wait a moment for one.

        :param instance: the name of the upstream to ask if it can be asked.
        :param but: what has just failed, to be avoided if there is another.
        :param of_many: the address that asks has many requests in progress already.
        :raise Unavailable: all are left alone, or have as many requests as they may.
        """
        free = self._with_room(of_many)
        if not free:
            raise Unavailable(f"The {in_words(self.name)} is not available at the moment; try again.")
        if len(free) == 1:
            return free[0].take()
        avoided = but.url if but else ""
        return min(
            free,
            key=lambda each: (each.name != instance, each.url == avoided, each.in_flight, random.random()),  # noqa: S311
        ).take()

    def _with_room(self, of_many: bool) -> list[Upstream]:
        """A few addresses can fill a service for a moment: others then come a little later, and not in vain."""
        for _ in range(round(BUSY_SECONDS / LOOK_AGAIN_SECONDS)):
            free = [each for each in self.upstreams if (each.has_room_for_many if of_many else each.has_room)]
            if free or not any(each.breaker.is_closed for each in self.upstreams):
                return free
            self._sleep(LOOK_AGAIN_SECONDS)
        return []


def in_words(service: str) -> str:
    return service.replace("-", " ")
