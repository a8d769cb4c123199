"""Slots: a few do dear work at once, a few more wait a moment for their turn, and whoever else comes is sent away.

Turns go round among the addresses that wait, so that a crowd from one of them has one turn a round.
"""

from collections import deque
from dataclasses import dataclass
from threading import Event, Lock

from flask import has_request_context, request

from shopkit.addresses import network
from shopkit.errors import Unavailable

LONGEST_WAIT = 1.0  # seconds


class Busy(Unavailable):
    code = "busy"
    headers = {"Retry-After": "1"}

    def __init__(self) -> None:
        super().__init__("Too many others ask for the same at this moment; try again.")


@dataclass(eq=False)
class _Turn:
    """Of somebody who waits, until it has come or somebody else needs the place more."""

    is_over: Event
    has_come: bool = False


class Slots:
    """A context in which so many threads (or greenlets) may be at once.

    Who comes while all places are taken gets the newest one of the address that has most of them, if that has more.
    Whoever waits holds a thread of the server: it needs more of them than slots and places together.

    :param places: how many may wait.
    :param seconds: how long they wait at most.
    """

    def __init__(self, number: int, places: int, seconds: float = LONGEST_WAIT) -> None:
        self._free = number
        self._places = places
        self._seconds = seconds
        self._lock = Lock()
        # Of those who wait, by their address; who frees a slot hands it to the first of the first.
        self._turns: dict[str, deque[_Turn]] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self._turns.values()))

    def __enter__(self) -> None:
        """:raise Busy: all places are taken, or no slot was free in time."""
        address = network(request.remote_addr or "") if has_request_context() else ""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            self._make_room(address)
            turn = _Turn(Event())
            self._turns.setdefault(address, deque()).append(turn)
        try:
            turn.is_over.wait(self._seconds)
        except BaseException:  # whatever it was, even the end of this greenlet: the slot must not be lost
            if self._came(turn, address):
                self.__exit__()
            raise
        if not self._came(turn, address):
            raise Busy

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if not self._turns:
                self._free += 1
                return
            address = next(iter(self._turns))
            turns = self._turns.pop(address)
            turn = turns.popleft()
            if turns:
                self._turns[address] = turns  # behind all other addresses
            turn.has_come = True
            turn.is_over.set()

    def _make_room(self, address: str) -> None:
        """:raise Busy: no other address has so much more than this one that it could spare a place."""
        if self.waiting < self._places:
            return
        crowd = max(self._turns.values(), key=len, default=deque[_Turn]())
        if len(crowd) < len(self._turns.get(address, ())) + 2:
            raise Busy
        crowd.pop().is_over.set()

    def _came(self, turn: _Turn, address: str) -> bool:
        """Whether the turn has come, be it at the last moment; if not, leave the queue."""
        with self._lock:
            turns = self._turns.get(address, ())
            if turn in turns:
                turns.remove(turn)  # type: ignore[union-attr]
                if not turns:
                    del self._turns[address]
            return turn.has_come
