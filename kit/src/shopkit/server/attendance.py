"""Who is connected by Socket.IO: how many may be, how fast they may speak, and until when they may stay.

Who has connected has some seconds to sign in. Of those who have not there are only so many, and the oldest from the
address that has most of them gives way to newcomers; who has signed in stays. How fast one speaks is counted for an
account over all its sockets, for an address over all its accounts, and for a socket that nobody has signed in from by
itself.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shopkit.errors import TooManyRequests
from shopkit.server.pacing import Bucket, Buckets, Rate
from shopkit.server.websockets import Status

# What may be said: by a socket that nobody has signed in from, by an account, and from an address.
OF_STRANGER = Rate(burst=10, per_second=1)
OF_ACCOUNT = Rate(burst=200, per_second=5)
OF_ADDRESS = Rate(burst=1000, per_second=50)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Bounds:
    """How much there may be of what.

    :param sign_in_seconds: from the opening of a socket until somebody has signed in from it.
    :param strangers: sockets at once that nobody has signed in from.
    :param strangers_an_address: the same, from one address.
    :param of_address: sockets at once from one address.
    :param of_account: sockets at once of one account.
    """

    sign_in_seconds: float = 10.0
    strangers: int = 300
    strangers_an_address: int = 30
    of_address: int = 200
    of_account: int = 20
    stranger_rate: Rate = OF_STRANGER
    account_rate: Rate = OF_ACCOUNT
    address_rate: Rate = OF_ADDRESS


class Session(Protocol):
    """What is connected."""

    sid: str

    def end(self, status: Status, reason: str) -> None: ...


@dataclass
class _Attendant:
    session: Session
    address: str
    must_sign_in_by: float
    own: Bucket
    account: int | None = None
    ends_at: float = math.inf  # as `time.time` has it: when the token expires


class TooManySockets(TooManyRequests):
    code = "too_many_sockets"


class Attendance:
    """The sessions of one process.

    :param expired: called with the id of a session whose token has expired.
    """

    def __init__(
        self,
        bounds: Bounds,
        expired: Callable[[str], None],
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self.bounds = bounds
        self._expired = expired
        self._clock = clock
        self._wall_clock = wall_clock
        self._attendants: dict[str, _Attendant] = {}
        self._strangers: dict[str, _Attendant] = {}  # the oldest first
        self._of_account: Counter[int] = Counter()
        self._of_address: Counter[str] = Counter()
        self._account_buckets = Buckets(bounds.account_rate, clock)
        self._address_buckets = Buckets(bounds.address_rate, clock)

    def __len__(self) -> int:
        return len(self._attendants)

    def make_room(self, address: str) -> None:
        """Let one more come from an address, whose strangers give way if need be.

        :raise TooManySockets: all of its sockets are of people who have signed in.
        """
        neighbours = [each for each in list(self._strangers.values()) if each.address == address]
        is_full = self._of_address[address] >= self.bounds.of_address
        if neighbours and (is_full or len(neighbours) >= self.bounds.strangers_an_address):
            self._give_way(neighbours[0])
        elif is_full:
            raise TooManySockets("Too many are connected from your address; close another one.", {"Retry-After": "10"})
        elif len(self._strangers) >= self.bounds.strangers:
            self._give_way(self._first_of_crowd())

    def enter(self, session: Session, address: str) -> None:
        """Somebody has connected, and is yet to sign in."""
        moment = self._clock()
        own = Bucket(self.bounds.stranger_rate, moment)
        attendant = _Attendant(session, address, moment + self.bounds.sign_in_seconds, own)
        self._attendants[session.sid] = self._strangers[session.sid] = attendant
        self._of_address[address] += 1

    def sign_in(self, session_id: str, account: int, ends_at: float = math.inf) -> None:
        """Somebody has signed in from a socket.

        :param ends_at: until when their token holds, as `time.time` has it.
        :raise TooManySockets: they have as many as they may.
        """
        attendant = self._attendants.get(session_id)
        if attendant is None or attendant.account is not None:
            return  # gone in the meantime, or signed in already
        if self._of_account[account] >= self.bounds.of_account:
            times = self.bounds.of_account
            raise TooManySockets(f"You are connected {times} times already; close a window.", {"Retry-After": "10"})
        self._strangers.pop(session_id, None)
        attendant.account, attendant.ends_at = account, ends_at
        self._of_account[account] += 1

    def sign_out(self, session_id: str) -> None:
        """Somebody has left the chat, but not the socket: they may sign in again."""
        attendant = self._attendants.get(session_id)
        if attendant is None or attendant.account is None:
            return
        self._forget_account(attendant)
        attendant.must_sign_in_by = self._clock() + self.bounds.sign_in_seconds
        self._strangers[session_id] = attendant

    def leave(self, session_id: str) -> None:
        attendant = self._attendants.pop(session_id, None)
        if attendant is None:
            return
        self._strangers.pop(session_id, None)
        self._forget_account(attendant)
        _decrease(self._of_address, attendant.address)

    def delay(self, session_id: str) -> float:
        """Count something that a client says, and say how many seconds to wait before it is heard."""
        attendant = self._attendants.get(session_id)
        if attendant is None:
            return 0.0
        if attendant.account is None:
            return attendant.own.take(self._clock())
        return max(self._account_buckets.take(attendant.account), self._address_buckets.take(attendant.address))

    def sweep(self) -> None:
        """End what has not signed in in time, and what a token has expired of."""
        moment, wall_moment = self._clock(), self._wall_clock()
        for each in list(self._strangers.values()):
            if each.must_sign_in_by <= moment:
                self._end(each, f"nobody signed in within {self.bounds.sign_in_seconds:g} seconds")
        for session_id, each in list(self._attendants.items()):
            if each.ends_at <= wall_moment:
                each.ends_at = math.inf
                self._expired(session_id)

    def _first_of_crowd(self) -> _Attendant:
        """The oldest stranger of the address that has most of them, so that who comes alone has time to sign in."""
        number = Counter(each.address for each in self._strangers.values())
        return max(self._strangers.values(), key=lambda each: number[each.address])

    def _give_way(self, attendant: _Attendant) -> None:
        self._end(attendant, "others want to come in, and nobody has signed in here")

    def _end(self, attendant: _Attendant, reason: str) -> None:
        self.leave(attendant.session.sid)
        attendant.session.end(Status.POLICY, reason)

    def _forget_account(self, attendant: _Attendant) -> None:
        if attendant.account is not None:
            _decrease(self._of_account, attendant.account)
            attendant.account, attendant.ends_at = None, math.inf


def _decrease(counter: Counter[Any], key: int | str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
