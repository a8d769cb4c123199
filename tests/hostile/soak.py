"""Attacks by turns, for as long as one likes, and what another customer and the machine notice of them."""

import random
import time
from dataclasses import dataclass, field
from itertools import cycle

from hostile import watch
from hostile.attacks import ATTACKS
from hostile.bystander import Seen
from hostile.shop import MEMORY_MEGABYTES, Outcome, Shop

QUIET_SECONDS = 30.0
ATTACK_SECONDS = 8.0
MOST_SLOWER = 5.0  # times the quiet value, for the 99th percentile
MOST_DESCRIPTORS = 60  # more than before: connections between services are kept for the next request
REST_SECONDS = 120.0  # services keep idle ones for 75
# A table may grow by so many rows, and by so many more for each attack: every one has an account of its own, which may
# say a thousand things a day.
MOST_ROWS, MOST_ROWS_AN_ATTACK = 1000, 200


@dataclass
class Soak:
    """The figures of one soak; `complaints` says which of them are out of bounds."""

    quiet: list[Seen]
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    rows: list[dict[str, int]] = field(default_factory=list)

    @property
    def attacked(self) -> list[Seen]:
        return [each for outcomes in self.outcomes.values() for outcome in outcomes for each in outcome.seen]

    @property
    def attacks(self) -> int:
        return sum(map(len, self.outcomes.values()))

    def measure(self, shop: Shop) -> None:
        """Note what the shop uses."""
        self.memory.append(shop.memory())
        self.descriptors.append(shop.descriptors())
        self.rows.append(shop.rows())

    def complaints(self) -> list[str]:
        found = [f"{name}: {outcome}" for name, each in self.outcomes.items() for outcome in each if outcome.is_harmful]
        slower = percentile(self.attacked, 99) / percentile(self.quiet, 99)
        if slower > MOST_SLOWER:
            found.append(f"the 99th percentile is {slower:.1f} times its quiet value")
        if self.memory[-1] > self.memory[0] + MEMORY_MEGABYTES * watch.MEGABYTE:
            found.append("memory has not come back")
        if self.descriptors[-1] > self.descriptors[0] + MOST_DESCRIPTORS:
            found.append("descriptors have not come back")
        most = MOST_ROWS + MOST_ROWS_AN_ATTACK * self.attacks
        found += [f"{table} grew by {more} rows" for table, more in self.growth() if more > most]
        return found

    def growth(self) -> list[tuple[str, int]]:
        return [(table, rows - self.rows[0].get(table, 0)) for table, rows in self.rows[-1].items()]

    def report(self) -> str:
        lines = [f"{'':42}{'requests':>10}{'p50 ms':>8}{'p99 ms':>8}{'worst ms':>9}{'failed':>7}{'late':>6}"]
        lines.append(_line("quiet", self.quiet, Outcome({}, self.quiet, [])))
        for name, outcomes in self.outcomes.items():
            lines += [_line(name, outcome.seen, outcome) for outcome in outcomes]
        lines.append(_line("all attacks", self.attacked, Outcome({}, self.attacked, [])))
        lines.append("")
        lines.append(f"memory, MB     {_series(each / watch.MEGABYTE for each in self.memory)}")
        lines.append(f"descriptors    {_series(self.descriptors)}")
        lines += [f"{table:42}+{more}" for table, more in self.growth() if more]
        return "\n".join(lines)


def soak(shop: Shop, seconds: float) -> Soak:
    """Measure the quiet shop, attack it for so long, and let it come to rest."""
    with shop.watched() as quiet:
        time.sleep(QUIET_SECONDS)
    figures = Soak(quiet)
    figures.measure(shop)
    names = list(ATTACKS)
    random.shuffle(names)
    deadline = time.monotonic() + seconds
    for number, name in enumerate(cycle(names), 1):
        if time.monotonic() > deadline:
            break
        figures.outcomes.setdefault(name, []).append(shop.suffer(name, ATTACK_SECONDS))
        if number % 10 == 0:
            figures.measure(shop)
    with shop.watched():  # connections that are idle are closed as others are used
        watch.settles(shop.descriptors, figures.descriptors[0] + MOST_DESCRIPTORS, REST_SECONDS)
    figures.measure(shop)
    return figures


def percentile(seen: list[Seen], percent: int) -> float:
    """In seconds."""
    ordered = sorted(each.seconds for each in seen)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _line(name: str, seen: list[Seen], outcome: Outcome) -> str:
    p50, p99, worst = (1000 * percentile(seen, percent) for percent in (50, 99, 100))
    failed, late = len(outcome.failures), len(outcome.late)
    harm = f"  {'; '.join(outcome.harm)}" if outcome.harm else ""
    return f"{name:42}{len(seen):>10}{p50:>8.0f}{p99:>8.0f}{worst:>9.0f}{failed:>7}{late:>6}{harm}"


def _series(numbers) -> str:
    return " ".join(f"{number:.0f}" for number in numbers)
