"""What the limits can do without for a while: Redis, and the auth service's word on whose a token is."""

import logging
from collections.abc import Callable
from typing import TypeVar

from shopkit.circuit_breaker import CircuitBreaker, Clock

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0

Result = TypeVar("Result")


class Away(Exception):
    """Whoever could have helped is away."""


class SoftDependency:
    """While it is away, one request in `PAUSE_SECONDS` tries it; no other has to wait.

    :param meanwhile: what happens then, for the log.
    :param errors: how it shows.
    """

    def __init__(self, name: str, meanwhile: str, errors: tuple[type[Exception], ...], clock: Clock) -> None:
        self._name = name
        self._meanwhile = meanwhile
        self._errors = errors
        self.breaker = CircuitBreaker(1, 1, PAUSE_SECONDS, PAUSE_SECONDS, clock)

    def call(self, function: Callable[[], Result]) -> Result:
        """:raise Away: it fails, or did so a moment ago."""
        if not self.breaker.is_closed:
            if not self.breaker.trial_is_due:
                raise Away
            self.breaker.begin_trial()
        try:
            result = function()
        except self._errors as error:
            if self.breaker.is_closed:
                logger.warning("%s is away, so %s (%s: %s)", self._name, self._meanwhile, type(error).__name__, error)
            self.breaker.record_failure()
            raise Away from error
        if self.breaker.record_success():
            logger.warning("%s is back", self._name)
        return result
