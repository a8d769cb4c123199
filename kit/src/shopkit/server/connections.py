"""Who is connected to this process, how many may be, and who gives way when a newcomer finds the house full."""

import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from shopkit.addresses import network as network_of

MOST_OF_ADDRESS = 256  # connections
SHARE_OF_ADDRESS = 1 / 8  # of all that there may be, should that be less
CROWDED = 7 / 8  # of all that there may be: from here on each address gets less
SHARE_IN_CROWD = 1 / 32
MAX_UNFINISHED_BYTES = 6 * 1024 * 1024  # of all heads that have begun and not ended; we hold them four times
MOST_COMPARED = 64  # of those that have been at it longest

UNCAPPED = ""  # the network of those that do not count for their address

Clock = Callable[[], float]


class Peer:
    """One connection, as the books know it.

    :ivar is_waiting: its next bytes are waited for. Who is answered, or reads its answer, never gives way.
    :ivar must_leave: its place has been given to another.
    """

    __slots__ = ("greenlet", "held", "is_waiting", "must_leave", "network", "received", "since")

    def __init__(self, network: str, greenlet: Any) -> None:
        self.network = network
        self.greenlet = greenlet
        self.is_waiting = False
        self.must_leave = False
        self.since = 0.0  # when it fell silent, or its request began
        self.received = 0  # bytes of the request
        self.held = 0  # bytes of its unfinished head

    def pace(self, now: float) -> float:
        """Bytes a second, of the request that is arriving."""
        return self.received / max(now - self.since, 0.001)


class Connections:
    """:param limit: how many there may be at once.
    :param caps_addresses: whether those from one address (of IPv6: from one /64) are limited as well.
    :param hang_up: end this peer soon, if it is still waiting by then; called in the middle of everything.
    """

    def __init__(
        self, limit: int, caps_addresses: bool, hang_up: Callable[[Peer], None], clock: Clock = time.monotonic
    ) -> None:
        self._limit = limit
        self._caps_addresses = caps_addresses
        self._hang_up = hang_up
        self._clock = clock
        self._peers: dict[str, set[Peer]] = {}
        self._count = self._most = 0
        self._silent: dict[Peer, None] = {}  # in the order in which they fell silent
        self._sending: dict[Peer, None] = {}  # in the order in which their requests began
        self._unfinished = 0  # bytes

    def __len__(self) -> int:
        return self._count

    def most(self) -> int:
        """How many there were at once since this was last asked."""
        most, self._most = self._most, self._count
        return most

    @property
    def silent(self) -> list[Peer]:
        """Those that wait for nothing but their client's next request, if there ever is one."""
        return list(self._silent)

    def admit(self, address: str, greenlet: Any) -> Peer | None:
        """Let a connection in. If there is no room, one that is silent or slow gives way; None if there is none.

        An address that has its share makes room among its own.
        """
        network = network_of(address) if self._caps_addresses else UNCAPPED
        peers = self._peers.get(network, set())
        if self._caps_addresses and len(peers) >= self._share:
            victim = self._longest_silent(peers) or self._slowest(peers)
        elif self._count >= self._limit:
            victim = next(iter(self._silent), None) or self._slowest(self._sending)
        else:
            return self._enter(Peer(network, greenlet))
        if victim is None:
            return None
        self._send_away(victim)
        return self._enter(Peer(network, greenlet))

    def leave(self, peer: Peer) -> None:
        """Strike it off; does nothing if it is not there any more."""
        self.release(peer)
        peers = self._peers.get(peer.network, set())
        if peer not in peers:
            return
        peers.remove(peer)
        if not peers:
            del self._peers[peer.network]
        self._count -= 1
        self._silent.pop(peer, None)
        self._sending.pop(peer, None)

    def uncap(self, peer: Peer) -> None:
        """Count it no longer for its address: whoever is there passes on what others ask."""
        peers = self._peers.get(peer.network, set())
        if peer.network == UNCAPPED or peer not in peers:
            return
        peers.remove(peer)
        if not peers:
            del self._peers[peer.network]
        peer.network = UNCAPPED
        self._peers.setdefault(UNCAPPED, set()).add(peer)

    def make_room(self) -> bool:
        """End one that is silent or slow, because the system has no room for another; False if there is none."""
        victim = next(iter(self._silent), None) or self._slowest(self._sending)
        if victim is None:
            return False
        self._send_away(victim)
        return True

    def end_request(self, peer: Peer) -> None:
        """Its request has been answered."""
        peer.received = 0
        if self._sending:
            self._sending.pop(peer, None)

    def begin_silence(self, peer: Peer) -> None:
        """Its next request is waited for."""
        peer.since = self._clock()
        peer.is_waiting = True
        if not peer.must_leave:
            self._silent[peer] = None

    def begin_wait(self, peer: Peer) -> None:
        """More of its request is waited for."""
        if peer not in self._sending and not peer.must_leave:
            peer.since = self._clock()
            self._sending[peer] = None
        peer.is_waiting = True

    def end_wait(self, peer: Peer) -> None:
        """Something has come, or nothing will."""
        peer.is_waiting = False
        self._silent.pop(peer, None)

    def hold(self, peer: Peer, size: int) -> bool:
        """Note that so many bytes more of a head are kept until it ends.

        If all heads together have become too large, the largest of the oldest is ended; False if there is none.
        """
        if peer.must_leave:
            return False
        peer.held += size
        self._unfinished += size
        if self._unfinished <= MAX_UNFINISHED_BYTES:
            return True
        victim = max(_waiting(self._sending), key=lambda each: each.held, default=None)
        if victim is None:
            return False
        self._send_away(victim)
        return True

    def release(self, peer: Peer) -> None:
        """Its head has ended."""
        self._unfinished -= peer.held
        peer.held = 0

    @property
    def _share(self) -> int:
        """How many one address may have."""
        if self._count >= CROWDED * self._limit:
            return max(1, min(MOST_OF_ADDRESS, int(SHARE_IN_CROWD * self._limit)))
        return max(1, min(MOST_OF_ADDRESS, int(SHARE_OF_ADDRESS * self._limit)))

    def _enter(self, peer: Peer) -> Peer:
        self._peers.setdefault(peer.network, set()).add(peer)
        self._count += 1
        self._most = max(self._most, self._count)
        return peer

    def _send_away(self, peer: Peer) -> None:
        self.leave(peer)
        peer.must_leave = True
        self._hang_up(peer)

    def _longest_silent(self, peers: Iterable[Peer]) -> Peer | None:
        return min((each for each in peers if each in self._silent), key=lambda each: each.since, default=None)

    def _slowest(self, peers: Iterable[Peer]) -> Peer | None:
        now = self._clock()
        return min(_waiting(peers), key=lambda each: each.pace(now), default=None)


def _waiting(peers: Iterable[Peer]) -> Iterable[Peer]:
    return islice((each for each in peers if each.is_waiting), MOST_COMPARED)
