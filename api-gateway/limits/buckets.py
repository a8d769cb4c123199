"""Token buckets: so many requests at once, and so many a second in the long run."""

import re
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import NamedTuple, Self

from limits.soft_dependency import Away, SoftDependency
from shopkit.circuit_breaker import Clock

MAX_BUCKETS = 100_000  # of a policy
ROUNDING = 0.001  # of a token: added, so that rounding never costs a whole one
REDIS_SECONDS = 0.25
REDIS_CONNECTIONS = 16
BUSY_SECONDS = 0.5

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day) burst ([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Rate:
    """What runs into a bucket, and how much of it fits."""

    per_second: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `20/second burst 100`; it may be a minute, an hour or a day too, or `off` for none at all.

        :raise ValueError: anything else.
        """
        if text == "off":
            return None
        found = _RATE.fullmatch(text)
        if found is None:
            raise ValueError("a rate looks like 20/second burst 100, or is off")
        count, unit, burst = found.groups()
        return cls(int(count) / _SECONDS[unit], int(burst))


class Bucket(NamedTuple):
    """Whose bucket it is under which policy, and how it fills."""

    policy: str
    who: str
    rate: Rate

    @property
    def key(self) -> str:
        return f"{self.policy}:{self.who}"


class Taken(NamedTuple):
    """Whether a token was there in every bucket, and what is in each now."""

    allowed: bool
    left: list[float]


class LocalBuckets:
    """The buckets of this process. Full ones are forgotten, and at the bound those that were used longest ago.

    Each policy has its own: the buckets of a slow one would keep those of a fast one that stand behind them.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        # One number is a whole bucket: the time at which it will be full again.
        self._full_at: defaultdict[str, OrderedDict[str, float]] = defaultdict(OrderedDict)

    def __len__(self) -> int:
        return sum(map(len, self._full_at.values()))

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Take one token out of each of these buckets, or none out of any."""
        now = self._clock()
        left: list[float] = []
        charged: list[tuple[OrderedDict[str, float], str, float]] = []
        with self._lock:
            for policy, who, rate in buckets:
                group = self._full_at[policy]
                full_at = max(group.get(who, now), now)
                left.append(rate.burst - (full_at - now) * rate.per_second + ROUNDING)
                charged.append((group, who, full_at + 1 / rate.per_second))
            if min(left) < 1:
                return Taken(False, left)
            for group, who, full_at in charged:
                group[who] = full_at
                group.move_to_end(who)
                _forget(group, now)
        return Taken(True, [each - 1 for each in left])


def _forget(group: OrderedDict[str, float], now: float) -> None:
    while len(group) > MAX_BUCKETS or next(iter(group.values()), inf) <= now:
        group.popitem(last=False)


class RedisBuckets:
    """The buckets that all processes share, by the clock of Redis; while it is away, those of this process.

    :param url: as redis-py reads it: `redis://…`, `rediss://…`, `unix://…`.
    :raise ValueError: the URL makes no sense.
    """

    def __init__(self, url: str, prefix: str = "limit:", clock: Clock = time.monotonic) -> None:
        import redis  # only where it is used, for it takes 8 MB

        self._prefix = prefix
        self._local = LocalBuckets(clock)
        self._redis = SoftDependency("Redis", "every process counts for itself", (redis.RedisError,), clock)
        client = redis.Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            protocol=2,  # under 3 it no longer notices that Redis has closed a connection
        )
        self._script = client.register_script((Path(__file__).parent / "buckets.lua").read_text())
        self._connections = BoundedSemaphore(REDIS_CONNECTIONS)

    def take(self, buckets: Sequence[Bucket]) -> Taken:
        """Take one token out of each of these buckets, or none out of any."""
        keys = [self._prefix + each.key for each in buckets]
        rates = [number for each in buckets for number in (each.rate.per_second, each.rate.burst + ROUNDING)]
        # Who waits here learns at once that Redis hangs; in redis-py's pool each would wait for a time-out of its own.
        if not self._connections.acquire(timeout=BUSY_SECONDS):
            return self._local.take(buckets)
        try:
            allowed, *left = self._redis.call(lambda: self._script(keys, rates))
        except Away:
            return self._local.take(buckets)
        finally:
            self._connections.release()
        return Taken(bool(allowed), [float(each) for each in left])
