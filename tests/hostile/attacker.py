"""Runs one attack, in a process of its own, and says what came of it.

    python -m hostile.attacker NAME < target.json

An attacker has little more than the shop itself: what the shop suffers must be its own doing, not that of a
neighbour who takes all the processor. So each attack rests as soon as its process has used more than `CPU_SHARE` of
one core since it began, and what it keeps sending is bounded by that.
"""

import json
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from threading import Lock, Thread

from hostile import wire

CPU_SHARE = 0.35
PATIENCE = 1.5  # seconds: longer waits for one answer only make the attack end late


@dataclass(frozen=True)
class Target:
    """What an attacker knows of the shop.

    :param port: of the gateway.
    :param token: an access token of an account of the attacker's own.
    :param refresh_token: the one that belongs to it.
    :param ticket: a ticket of that account.
    :param network: of the attacker's addresses; each attack has its own, so that none suffers for another.
    :param seconds: how long to go on.
    """

    port: int
    token: str
    refresh_token: str
    ticket: int
    network: int
    seconds: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Attacker:
    """What attacks have in common; `tally` counts what was sent and how it was answered."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.tally: Counter[str] = Counter()
        self._kept: list[socket.socket] = []
        self._begin = time.monotonic()
        self._spent_before = time.process_time()
        self._failures: list[BaseException] = []
        self._resting = Lock()

    def goes_on(self) -> bool:
        """Whether there is time left; takes a rest first if that is due.

        One rests for all: hundreds of threads that woke up to see that they have to rest again would do nothing else.
        """
        with self._resting:
            while (passed := time.monotonic() - self._begin) < self.target.seconds:
                owed = (time.process_time() - self._spent_before) / CPU_SHARE - passed
                if owed <= 0:
                    return True
                time.sleep(min(owed, self.target.seconds - passed))
        return False

    def wait(self, seconds: float = 0.0) -> None:
        """Until the attack ends, or for so long if that is sooner."""
        left = self.target.seconds - (time.monotonic() - self._begin)
        time.sleep(max(0.0, min(left, seconds or left)))

    def connect(self, number: int = 0) -> socket.socket:
        """A connection from one of the attacker's addresses, to be made in an `attempt`."""
        return wire.connect(self.target.port, self.address(number), PATIENCE)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Whatever the shop does with a connection, it only ends the block: the attack goes on."""
        try:
            yield
        except ConnectionRefusedError as error:
            self.tally[f"refused {error}"[:30]] += 1
        except OSError as error:
            self.tally[type(error).__name__] += 1

    def keep(self, number: int = 0, receive_buffer: int = 0) -> socket.socket | None:
        """A connection that stays until the attack ends; None if there is none to be had."""
        with self.attempt():
            client = wire.connect(self.target.port, self.address(number), 1, receive_buffer)
            self._kept.append(client)
            self.tally["connections"] += 1
            return client
        return None

    def ask(self, data: bytes, number: int = 0) -> int:
        """Send one request on a connection of its own; the status, 0 for none."""
        with self.attempt(), self.connect(number) as client:
            self.tally["requests"] += 1
            status = wire.ask(client, data).status
            self.tally[str(status)] += 1
            return status
        return 0

    def ask_again_and_again(self, data: Callable[[int], bytes], number: int = 0) -> None:
        """Send requests on a connection, and on another one when that breaks.

        :param data: the request, for how many were sent before.
        """
        sent = 0
        while self.goes_on():
            with self.attempt(), self.connect(number) as client:
                reader = wire.Reader(client)
                while self.goes_on():
                    client.sendall(data(sent))
                    sent += 1
                    self.tally["requests"] += 1
                    answer = reader.answer()
                    self.tally[str(answer.status)] += 1
                    if answer.headers.get("connection") == "close":
                        break

    def crowd(self, size: int, act: Callable[[int], None]) -> None:
        """Act as so many at once, each with its number; the number is also that of an address."""

        def run(number: int) -> None:
            try:
                act(number)
            except BaseException as error:  # an attack with a mistake of its own must not pass for one that failed
                self._failures.append(error)

        threads = [Thread(target=run, args=(number,), daemon=True) for number in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.target.seconds + 30)
        if self._failures:
            raise self._failures[0]

    def address(self, number: int) -> str:
        return f"127.{self.target.network}.{1 + number // 200 % 200}.{10 + number % 200}"

    def leave(self) -> None:
        for client in self._kept:
            with suppress(OSError):
                client.close()


def main() -> None:
    from hostile.attacks import ATTACKS

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attacker = Attacker(Target(**json.load(sys.stdin)))
    try:
        ATTACKS[sys.argv[1]](attacker)
    finally:
        attacker.leave()
    json.dump(attacker.tally, sys.stdout)


if __name__ == "__main__":
    main()
