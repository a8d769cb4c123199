"""Token buckets that go into debt: nobody is refused, but who is too fast waits, and the longer the further ahead."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second in the long run."""

    burst: float
    per_second: float


class Bucket:
    def __init__(self, rate: Rate, moment: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._moment = moment

    def take(self, moment: float, number: int = 1) -> float:
        """Take tokens, and say how many seconds to wait until there would have been so many."""
        self._tokens = self.level(moment) - number
        self._moment = moment
        return max(0.0, -self._tokens / self._rate.per_second)

    def level(self, moment: float) -> float:
        return min(self._rate.burst, self._tokens + (moment - self._moment) * self._rate.per_second)

    def is_full(self, moment: float) -> bool:
        return self.level(moment) >= self._rate.burst


class Buckets:
    """A bucket for each of many, kept as long as it is not full; of very many the one not used for longest goes."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, whose: Hashable) -> float:
        """Take a token of theirs, and say how many seconds to wait."""
        moment = self._clock()
        bucket = self._buckets.setdefault(whose, Bucket(self._rate, moment))
        self._buckets.move_to_end(whose)
        oldest = next(iter(self._buckets))
        if len(self._buckets) > MOST_BUCKETS or (oldest != whose and self._buckets[oldest].is_full(moment)):
            del self._buckets[oldest]
        return bucket.take(moment)
