"""Slots: a few do dear work at once, a few more wait a moment for their turn, and whoever else comes is sent away."""

from collections import deque
from threading import Event, Lock

from shopkit.errors import Unavailable

LONGEST_WAIT = 1.0  # seconds


class Busy(Unavailable):
    code = "busy"
    headers = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__("Too many others ask for the same at this moment; try again.")


class Slots:
    """A context in which so many threads (or greenlets) may be at once, first come, first served.

    Whoever waits holds a thread of the server: it needs more of them than slots and places together.

    :param places: how many may wait.
    :param seconds: how long they wait at most.
    """

    def __init__(self, number: int, places: int, seconds: float = LONGEST_WAIT) -> None:
        self._free = number
        self._places = places
        self._seconds = seconds
        self._lock = Lock()
        self._turns: deque[Event] = deque()  # of those who wait; who frees a slot hands it to the first

    def __enter__(self) -> None:
        """:raise Busy: all places are taken, or no slot was free in time."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._turns) >= self._places:
                raise Busy
            turn = Event()
            self._turns.append(turn)
        try:
            turn.wait(self._seconds)
        except BaseException:  # whatever it was, even the end of this greenlet: the slot must not be lost
            if not self._gives_up(turn):
                self.__exit__()
            raise
        if self._gives_up(turn):
            raise Busy

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._turns:
                self._turns.popleft().set()
            else:
                self._free += 1

    def _gives_up(self, turn: Event) -> bool:
        """Leave the queue; false if the turn came, be it at the last moment."""
        with self._lock:
            if turn.is_set():
                return False
            self._turns.remove(turn)
            return True
