"""Passwords: what is kept instead of them, and how long it takes to find out whether one is right.

To hash one is dear, which is what it is for. So it is done on two threads of their own, for a few who wait at most a
second; whoever comes then is told to come again, and a token is never validated later because of it.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PRIO_PROCESS, setpriority
from threading import get_native_id
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from shopkit.slots import Slots

AT_ONCE = 2
PLACES = 22  # twenty who sign in at once all get in; THREADS has to be well above the sum
NICENESS = 5

# Argon2id as in OWASP's cheat sheet for passwords: 9 MiB, four passes, one lane. Of its equal choices it is one that
# leaves little memory behind: pieces of up to 32 MiB glibc keeps once it had them.
hasher = PasswordHasher(time_cost=4, memory_cost=9 * 1024, parallelism=1)
NOBODYS = hasher.hash("nobody has this password")

T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """Whether a password is right; and what to keep from now on, if it was hashed in another way than today's."""

    fits: bool
    renewed: str | None = None


def hashed(password: str) -> str:
    """:raise Busy: too many are hashed at this moment."""
    with _slots:
        return _threads.submit(hasher.hash, password).result()


def verify(kept: str | None, password: str) -> Verdict:
    """Takes as long for nobody's, None, so that the time does not tell who has an account.

    :raise Busy: too many are hashed at this moment.
    """
    with _slots:
        return _threads.submit(_verify, kept or NOBODYS, password).result()


def _verify(kept: str, password: str) -> Verdict:
    try:
        hasher.verify(kept, password)
    except VerifyMismatchError:
        return Verdict(False)
    return Verdict(True, hasher.hash(password) if hasher.check_needs_rehash(kept) else None)


def _give_way() -> None:
    """Linux schedules each thread by itself: those that answer others go first."""
    if sys.platform == "linux":
        setpriority(PRIO_PROCESS, get_native_id(), NICENESS)


_slots = Slots(AT_ONCE, PLACES)
_threads = ThreadPoolExecutor(AT_ONCE, "hashing", initializer=_give_way)
