"""The shop that is attacked, as whoever judges it sees it: who is served meanwhile, and what it costs."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

from hostile import watch
from hostile.attacker import Target
from hostile.bystander import ADDRESS, BROKEN, PATIENCE, Account, Bystander, Seen
from hostile.wire import ask, connect, request

TESTS = Path(__file__).parents[1]
ATTACK_SECONDS = 3.4  # longer than anybody may wait: who takes the whole shop is found out
AFTERMATH_SECONDS = 0.3  # the bystander stays so much longer
WARM_UP_SECONDS = 2.0
MEMORY_MEGABYTES = 50
RECOVERY_SECONDS = 60.0  # until memory is back; the shop itself sweeps up twice a minute
FIRST_NETWORK = 2  # attacks come from 127.2.0.0/16 on, each from one of its own
PASSWORD = "a password of ours"


class Outcome:
    """What the bystander and the system have seen of one attack."""

    def __init__(self, tally: dict[str, int], seen: list[Seen], harm: list[str]) -> None:
        self.tally = tally
        self.seen = seen
        self.harm = harm
        # Who has done nothing must not be told to wait either.
        self.failures = [each for each in seen if each.status == BROKEN or each.status >= 500 or each.status == 429]
        self.late = [each for each in seen if each.seconds > PATIENCE]

    @property
    def is_harmful(self) -> bool:
        return bool(self.harm or self.failures or self.late)

    @property
    def is_only_late(self) -> bool:
        return bool(self.late) and not (self.harm or self.failures)

    @property
    def slowest(self) -> float:
        return max(each.seconds for each in self.seen)

    def __str__(self) -> str:
        notable = sorted({*self.failures, *self.late}, key=lambda each: each.when)
        lines = [f"{each.what}: {each.status} after {each.seconds:.2f} s {each.trace}" for each in notable[:20]]
        return "\n".join([*self.harm, f"{len(notable)} of {len(self.seen)} requests", *lines, f"sent: {self.tally}"])


class Shop:
    def __init__(self, checkout) -> None:
        self._networks = cycle(range(FIRST_NETWORK, 255))
        self.port = checkout.ports["api-gateway"]
        self.processes = watch.processes_of(checkout.folder)
        self._folder = checkout.folder
        self._account: Account | None = None
        self._renew_at = 0.0
        with self.watched():
            # Have everything made that is made at its first use: memory that it takes is no harm done by an attack.
            time.sleep(WARM_UP_SECONDS)

    def memory(self) -> int:
        return watch.memory_of(self.processes)

    def descriptors(self) -> int:
        return watch.descriptors_of(self.processes)

    def rows(self) -> dict[str, int]:
        """How many there are in each table of each database."""
        return {
            f"{file.stem}.{table}": number
            for file in sorted(self._folder.glob("services/*/instance/*.db"))
            for table, number in watch.tables_of(file).items()
        }

    @contextmanager
    def watched(self):
        """A bystander shops for as long as the block runs; yields a list that then has what they saw."""
        bystander, seen = Bystander(self.port, self._customer()), []
        bystander.start()
        try:
            yield seen
        finally:
            seen += bystander.stop()

    def suffer(self, attack: str, seconds: float = ATTACK_SECONDS) -> Outcome:
        """Let an attack run, with the bystander in the shop."""
        target = self._new_target(seconds)
        self.processes = watch.processes_of(self._folder)
        before = self.memory()
        with self.watched() as seen:
            tally = run(attack, target)
            time.sleep(AFTERMATH_SECONDS)
        bugs = [f"{tally['500']} of the attacker's requests were a 500"] if "500" in tally else []
        return Outcome(tally, seen, self._harm(before) + bugs)

    def _harm(self, memory_before: int) -> list[str]:
        """What the processes show: dead ones, and memory that does not come back."""
        if gone := self.processes - watch.processes_of(self._folder):
            return [f"ended: {sorted(each.title for each in gone)}"]
        most = memory_before + MEMORY_MEGABYTES * watch.MEGABYTE
        after = watch.settles(self.memory, most, RECOVERY_SECONDS)
        return [f"{(after - memory_before) / watch.MEGABYTE:.0f} MB more than before"] if after > most else []

    def _customer(self) -> Account:
        """alice, whose token lasts for a quarter of an hour."""
        if self._account is None or time.monotonic() > self._renew_at:
            signed_in = self._call("POST", "/login", {"username": "alice", "password": "password123"})
            self._account = Account(signed_in["access_token"], self._call("GET", "/tickets", None, signed_in)[0]["id"])
            self._renew_at = time.monotonic() + 300
        return self._account

    def _new_target(self, seconds: float) -> Target:
        """An account of the attacker's, new, so that no attack suffers for what another one did."""
        network = next(self._networks)
        name, address = f"attacker{os.urandom(4).hex()}", f"127.{network}.0.1"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self._call("POST", "/register", body, address=address)
        signed_in = self._call("POST", "/login", body | {"email": None}, address=address)
        ticket = self._call("POST", "/tickets", {"subject": "x", "message": "y"}, signed_in, address)["id"]
        return Target(self.port, signed_in["access_token"], signed_in["refresh_token"], ticket, network, seconds)

    def _call(self, method: str, path: str, body=None, signed_in=None, address: str = ADDRESS):
        """What is answered; asked again for a while when the shop says that it is busy with the last attack."""
        token = signed_in["access_token"] if signed_in else ""
        for _ in range(40):
            with suppress(OSError), connect(self.port, address, 5) as client:
                answer = ask(client, request(method, path, body, token))
                if answer.status not in (429, 502, 503, 504):
                    break
            time.sleep(0.5)
        else:
            raise AssertionError(f"the shop does not recover: {method} {path}")
        assert answer.status < 300, answer
        return json.loads(answer.body)


def run(attack: str, target: Target) -> dict[str, int]:
    """Run an attack in a process of its own; what it counted."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "hostile.attacker", attack],
        cwd=TESTS,
        input=target.to_json(),
        capture_output=True,
        text=True,
        timeout=target.seconds + 60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
