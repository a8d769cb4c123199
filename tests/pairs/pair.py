"""What is said of two requests that may meet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Two requests, each `(who, method, path, body, key)`, and what they may be answered: `201+409` by either.

    :param given: what there is before, of which a `{name}` in a request is the id.
    :param then: yields what contradicts itself, given the world and the two answers.
    """

    name: str
    given: str
    one: tuple
    other: tuple
    may: str
    then: tuple

    @property
    def allowed(self):
        return {tuple(map(int, each.split("+"))) for each in self.may.split()}

    @property
    def is_symmetric(self):
        """Whether both ask for the same, perhaps with a key each."""
        return self.one[:4] == self.other[:4]


def pair(name, given, one, other, may, *then):
    return Pair(name, given, one, other, may, then)
