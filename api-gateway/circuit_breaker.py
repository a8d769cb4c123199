"""A circuit breaker around what we can do without: Redis, and the auth service's word on whose a token is."""

import logging
from collections.abc import Callable
from typing import TypeVar

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0

Answer = TypeVar("Answer")
Clock = Callable[[], float]


class Away(Exception):
    """Whoever could have helped is away."""


class CircuitBreaker:
    """Something we can do without. While it is away, one request in `PAUSE_SECONDS` tries it; no other has to wait.

    :param meanwhile: what happens then, for the log.
    :param errors: how it shows.
    """

    def __init__(self, name: str, meanwhile: str, errors: tuple[type[Exception], ...], clock: Clock) -> None:
        self._name = name
        self._meanwhile = meanwhile
        self._errors = errors
        self._clock = clock
        self._is_away = False
        self._ask_again = 0.0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """:raise Away: no answer, now or a moment ago."""
        if self._is_away:
            if self._clock() < self._ask_again:
                raise Away
            self._ask_again = self._clock() + PAUSE_SECONDS  # nobody else asks until we know
        try:
            answer = question()
        except self._errors as error:
            self._goes(error)
            raise Away from error
        self._comes()
        return answer

    def _goes(self, error: Exception) -> None:
        self._ask_again = self._clock() + PAUSE_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("%s is away, so %s (%s: %s)", self._name, self._meanwhile, type(error).__name__, error)

    def _comes(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.warning("%s is back", self._name)
