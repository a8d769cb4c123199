"""A circuit breaker (Nygard, Release It!): what keeps failing is left alone for a while, and then tried with care."""

import time
from collections.abc import Callable
from enum import IntEnum

Clock = Callable[[], float]


class BreakerState(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Counts failures and successes, and says whether to ask; asking, and how many may at once, is its owner's part.

    :param failures: so many in a row open it; half-open, a single one does.
    :param successes: so many trials close it again.
    :param seconds: for so long nobody may ask, and for twice as long after each trial that fails.
    :param longest_seconds: but never for longer than this.
    :ivar open_seconds: for how long it was opened last.
    :ivar successes: of the trials since then.
    """

    def __init__(
        self, failures: int, successes: int, seconds: float, longest_seconds: float, clock: Clock = time.monotonic
    ) -> None:
        self._failures_to_open = failures
        self._successes_to_close = successes
        self._first_seconds = seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._failures = 0
        self._half_open_at = self._next_trial_at = 0.0
        self.is_closed = True
        self.open_seconds = seconds
        self.successes = 0

    @property
    def state(self) -> BreakerState:
        if self.is_closed:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._clock() >= self._half_open_at else BreakerState.OPEN

    @property
    def trial_is_due(self) -> bool:
        """Half-open, and no trial has begun lately; one that takes long must not keep others from trying."""
        return not self.is_closed and self._clock() >= self._next_trial_at

    def begin_trial(self) -> None:
        self._next_trial_at = self._clock() + self._first_seconds

    def record_success(self) -> bool:
        """:return: whether this has closed it."""
        self._failures = 0
        if self.is_closed:
            return False
        self.successes += 1
        self.is_closed = self.successes >= self._successes_to_close
        return self.is_closed

    def record_failure(self) -> bool:
        """:return: whether this has opened it."""
        self._failures += 1
        if self.is_closed and self._failures < self._failures_to_open:
            return False
        longer = min(2 * self.open_seconds, self._longest_seconds)
        self.open_seconds = self._first_seconds if self.is_closed else longer
        self._half_open_at = self._next_trial_at = self._clock() + self.open_seconds
        self._failures = self.successes = 0
        self.is_closed = False
        return True
