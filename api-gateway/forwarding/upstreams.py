"""Where a service is: one address or several, which of them is asked next, and which is left alone for a while."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from shopkit.circuit_breaker import BreakerState, CircuitBreaker, Clock
from shopkit.errors import Unavailable

logger = logging.getLogger(__name__)

FAILURES_TO_OPEN = 5  # in a row, until an upstream is left alone
OPEN_SECONDS = 1.0  # for how long at first; twice as long each time it fails again
LONGEST_OPEN_SECONDS = 10.0
WAIT_SECONDS = 1.0  # for how long a request waits for one of the slots, where all are taken
POLL_SECONDS = 0.05
SLOW_START_END = 32  # requests at once: an upstream that has come so far may have as many as ever


class Upstream:
    """One address of a service, and how many requests it may have at once.

    Its circuit breaker decides about that. Closed: `max_in_flight`, so that an upstream that hangs holds no more
    requests than that. Open: none. Half-open: one, and one more with each success, as in TCP's slow start, so that an
    upstream that has just come back is not overrun. Long-lived ones, as polls and WebSockets are, cost nothing while
    they last and are counted apart: there may be as many as there are connections.
    """

    def __init__(self, url: str, max_in_flight: int, clock: Clock = time.monotonic) -> None:
        self.url = url
        self.name = sha256(url.encode()).hexdigest()[:8]
        self._max_in_flight = max_in_flight
        self._slots: set[Slot] = set()
        self._long_lived: set[Slot] = set()
        # So that it closes when so many requests at once would be next.
        successes = max(1, min(SLOW_START_END, max_in_flight) - 1)
        self.breaker = CircuitBreaker(FAILURES_TO_OPEN, successes, OPEN_SECONDS, LONGEST_OPEN_SECONDS, clock)

    @property
    def ceiling(self) -> int:
        """How many requests may be in flight."""
        if self.breaker.is_closed:
            return self._max_in_flight
        return 0 if self.breaker.state is BreakerState.OPEN else 1 + self.breaker.successes

    @property
    def in_flight(self) -> int:
        return len(self._slots) + len(self._long_lived)

    def has_room(self, *, leaves: float = 0.0, long_lived: bool = False) -> bool:
        """Whether another request may be in flight, if it leaves such a share of the slots to others."""
        if self.breaker.is_closed:
            return long_lived or len(self._slots) < self._max_in_flight - int(leaves * self._max_in_flight)
        return self.in_flight < (self._max_in_flight if self.breaker.trial_is_due else self.ceiling)

    def take(self, *, long_lived: bool = False) -> "Slot":
        if not self.breaker.is_closed:
            self.breaker.begin_trial()
        return Slot(self, self._long_lived if long_lived else self._slots)

    def forget_slots(self) -> None:
        """Let those in flight count no longer, nor what becomes of them: they were sent before it was left alone."""
        self._slots.clear()
        self._long_lived.clear()


class Slot:
    """The slot of one request at an upstream, from its start until the last byte of the answer.

    :param taken: those of its kind at this upstream.
    """

    __slots__ = ("_taken", "upstream")

    def __init__(self, upstream: Upstream, taken: "set[Slot]") -> None:
        self.upstream = upstream
        self._taken = taken
        taken.add(self)

    def succeeded(self) -> None:
        if self in self._taken and self.upstream.breaker.record_success():
            logger.warning("%s is well again", self.upstream.url)

    def failed(self) -> None:
        breaker = self.upstream.breaker
        if self in self._taken and breaker.record_failure():
            logger.warning("%s fails and is left alone for %g seconds", self.upstream.url, breaker.open_seconds)
            self.upstream.forget_slots()

    def release(self) -> None:
        self._taken.discard(self)


class UpstreamPool:
    """All addresses of a service."""

    def __init__(
        self, service: str, upstreams: Sequence[Upstream], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.service = service
        self.upstreams = upstreams
        self._sleep = sleep

    def take(
        self,
        preferred: str = "",
        avoided: Slot | None = None,
        *,
        leaves: float = 0.0,
        long_lived: bool = False,
    ) -> Slot:
        """A slot at the upstream where the fewest requests are in flight; where all are taken, wait a moment for one.

        :param preferred: the name of the upstream to ask if it can be asked.
        :param avoided: what has just failed, to be avoided if there is another.
        :param leaves: a share of the slots, which is for others: the more an address has in progress, the more.
        :param long_lived: it is a poll or a WebSocket.
        :raise Unavailable: all are left alone, or have as many requests as they may.
        """
        free = self._with_room(leaves, long_lived)
        if not free:
            raise Unavailable(f"The {in_words(self.service)} is not available at the moment; try again.")
        if len(free) == 1:
            return free[0].take(long_lived=long_lived)
        failed = avoided.upstream if avoided else None
        return min(
            free,
            key=lambda each: (each.name != preferred, each is failed, each.in_flight, random.random()),  # noqa: S311
        ).take(long_lived=long_lived)

    def _with_room(self, leaves: float, long_lived: bool) -> list[Upstream]:
        """A few addresses can fill a service for a moment: others then come a little later, and not in vain."""
        for _ in range(round(WAIT_SECONDS / POLL_SECONDS)):
            free = [each for each in self.upstreams if each.has_room(leaves=leaves, long_lived=long_lived)]
            if free or not any(each.breaker.is_closed for each in self.upstreams):
                return free
            self._sleep(POLL_SECONDS)
        return []


def in_words(service: str) -> str:
    return service.replace("-", " ")
