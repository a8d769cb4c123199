"""How many requests of one address a service works on at once; more wait for a moment, and are then refused."""

from collections import deque
from collections.abc import Mapping
from threading import Event, Lock

from shopkit.errors import TooManyRequests

WAIT_SECONDS = 2.0
MAX_WAITING = 100  # requests of one address for one service
FEW = 6  # requests in progress, as many as browsers have connections to a host
# The share of a service's slots that an address leaves to others with its second request in progress, and beyond a few.
WITH_A_SECOND, WITH_MANY = 1 / 8, 1 / 4

Key = tuple[str, str]
"""A service, and an address."""


class _Queue:
    """Of one address at one service: how many requests are in progress, and who waits, the first one first."""

    __slots__ = ("in_progress", "waiting")

    def __init__(self) -> None:
        self.in_progress = 0
        self.waiting: deque[Event] = deque()


class ConcurrencyLimit:
    """Hands out permits, so that one address cannot have all of a service's slots.

    :param most: how many requests of an address may be in progress, by service.
    """

    def __init__(self, most: Mapping[str, float], wait_seconds: float = WAIT_SECONDS) -> None:
        self._most = most
        self._wait_seconds = wait_seconds
        self._lock = Lock()
        self._queues: dict[Key, _Queue] = {}

    def acquire(self, service: str, address: str) -> "Permit":
        """A permit for one request, at once or after a short wait; it has to be released.

        :raise TooManyRequests: none has become free, or as many as may wait do so already.
        """
        key = service, address
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = _Queue()
            if queue.in_progress < self._most[service]:
                queue.in_progress += 1
                return Permit(self, key, _left_to_others(queue.in_progress))
            if len(queue.waiting) >= MAX_WAITING:
                raise _too_many()
            turn = Event()
            queue.waiting.append(turn)
        return self._wait(key, queue, turn)

    def _wait(self, key: Key, queue: _Queue, turn: Event) -> "Permit":
        try:
            turn.wait(self._wait_seconds)
        except BaseException:  # of this thread; a permit that was handed to it meanwhile must not be lost
            if not self._leave(queue, turn):
                self.release(key)
            raise
        if self._leave(queue, turn):
            raise _too_many()
        return Permit(self, key, WITH_MANY)

    def _leave(self, queue: _Queue, turn: Event) -> bool:
        """Wait no longer; False if it was one's turn."""
        with self._lock:
            if turn.is_set():
                return False
            queue.waiting.remove(turn)
            return True

    def release(self, key: Key) -> None:
        """Give a permit to whoever waits longest, or back."""
        with self._lock:
            queue = self._queues[key]
            if queue.waiting:
                queue.waiting.popleft().set()
                return
            queue.in_progress -= 1
            if not queue.in_progress:
                del self._queues[key]


class Permit:
    """The right to have one request in progress; releasing it again does nothing.

    :ivar leaves: a share of the service's slots, which is for addresses that have fewer in progress.
    """

    __slots__ = ("_key", "_limit", "leaves")

    def __init__(self, limit: ConcurrencyLimit, key: Key, leaves: float) -> None:
        self._limit: ConcurrencyLimit | None = limit
        self._key = key
        self.leaves = leaves

    def release(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.release(self._key)


def _left_to_others(in_progress: int) -> float:
    if in_progress > FEW:
        return WITH_MANY
    return WITH_A_SECOND if in_progress > 1 else 0.0


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many requests at once; try again in a second.", {"Retry-After": "1"})
