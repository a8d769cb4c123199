"""Who may be connected, and who gives way: the books of `shopkit.server.connections`, with a clock handed in."""

import pytest

from shopkit.addresses import network
from shopkit.server.connections import MAX_UNFINISHED_BYTES, MOST_OF_ADDRESS, Connections


class House:
    """Connections whose ends are noted: `house.ended` are those that had to give way, in order."""

    def __init__(self, limit: int, caps_addresses: bool = True) -> None:
        self.now = 0.0
        self.ended: list[object] = []
        self.connections = Connections(limit, caps_addresses, self.ended.append, lambda: self.now)

    def enter(self, address: str):
        return self.connections.admit(address, None)

    def silent(self, address: str):
        """One more that says nothing; each later than the one before."""
        self.now += 1
        peer = self.enter(address)
        self.connections.begin_silence(peer)
        return peer

    def sending(self, address: str, size: int):
        """One more that has sent so much of its request in the last second, and is waited for."""
        peer = self.enter(address)
        self.connections.begin_wait(peer)
        peer.received = size
        return peer


@pytest.fixture
def small():
    return House(limit=3, caps_addresses=False)


def test_when_the_house_is_full_who_has_been_silent_longest_gives_way(small):
    silent = [small.silent("a") for _ in range(3)]
    small.connections.end_wait(silent[0])  # a request came
    small.now += 1
    small.connections.begin_silence(silent[0])

    assert small.enter("b") is not None
    assert small.ended == [silent[1]]
    assert silent[1].must_leave
    assert len(small.connections) == 3


def test_when_nobody_is_silent_who_sends_slowest_gives_way(small):
    _, slow, _ = (small.sending("a", size) for size in (5000, 10, 900))
    small.now += 1

    assert small.enter("b") is not None
    assert small.ended == [slow]


def test_silent_ones_give_way_before_slow_ones(small):
    small.sending("a", 1)
    silent = small.silent("a")
    small.sending("a", 1)

    assert small.enter("b") is not None
    assert small.ended == [silent]


def test_who_is_being_answered_does_not_give_way_and_the_newcomer_is_refused(small):
    for size in (1, 2, 3):
        small.connections.end_wait(small.sending("a", size))

    assert small.enter("b") is None
    assert small.ended == []
    assert len(small.connections) == 3


def test_whoever_leaves_makes_room(small):
    peers = [small.enter("a") for _ in range(3)]

    small.connections.leave(peers[0])
    small.connections.leave(peers[0])

    assert len(small.connections) == 2
    assert small.enter("b") is not None
    assert small.enter("b") is None


def test_who_has_given_way_is_counted_no_more_whatever_it_does(small):
    silent = [small.silent("a") for _ in range(3)]
    small.enter("b")

    small.connections.begin_silence(silent[0])
    small.connections.begin_wait(silent[0])
    small.connections.leave(silent[0])

    assert len(small.connections) == 3
    assert silent[0] not in small.connections.silent
    assert not small.connections.hold(silent[0], 1)


def test_one_address_has_its_share_and_makes_room_among_its_own():
    house = House(limit=100_000)
    other = house.silent("b")
    mine = [house.silent("a") for _ in range(MOST_OF_ADDRESS)]

    assert house.enter("a") is not None
    assert house.ended == [mine[0]]
    assert other in house.connections.silent


def test_an_address_that_is_busy_with_its_share_is_refused_more_and_others_are_not():
    house = House(limit=100_000)
    assert all(house.enter("a") for _ in range(MOST_OF_ADDRESS))

    assert house.enter("a") is None
    assert house.enter("b") is not None


def test_in_a_crowd_an_address_has_less_so_that_newcomers_displace_nobody():
    house = House(limit=320)
    for number in range(280):
        house.enter(f"address {number}")
    mine = [house.silent("a") for _ in range(10)]

    assert house.enter("a") is not None
    assert house.ended == [mine[0]]
    assert house.enter("b") is not None
    assert len(house.ended) == 1


def test_behind_a_proxy_one_address_may_fill_the_house():
    house = House(limit=1000, caps_addresses=False)

    assert all(house.enter("a") for _ in range(1000))


@pytest.mark.parametrize(
    ("one", "another", "are_one"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("no address", "no address", True),
    ],
)
def test_of_ipv6_a_whole_64_counts_as_one_address(one, another, are_one):
    assert (network(one) == network(another)) is are_one


def test_heads_that_do_not_end_are_bounded_together_and_the_largest_is_ended_first():
    house = House(limit=10_000, caps_addresses=False)
    small, large = house.sending("a", 10), house.sending("a", 30_000)
    assert house.connections.hold(small, 10)
    assert house.connections.hold(large, 30_000)

    while not house.ended:
        house.connections.hold(house.sending("a", 20_000), 20_000)

    assert house.ended == [large]
    assert MAX_UNFINISHED_BYTES / 20_000 - 2 <= len(house.connections) <= MAX_UNFINISHED_BYTES / 20_000 + 2


def test_a_head_that_has_ended_counts_no_more():
    house = House(limit=10_000, caps_addresses=False)
    for _ in range(10_000):
        peer = house.sending("a", 20_000)
        house.connections.hold(peer, 20_000)
        house.connections.release(peer)

    assert house.ended == []


def test_without_descriptors_for_another_the_longest_silent_is_ended(small):
    silent = [small.silent("a"), small.silent("a")]

    small.connections.make_room()

    assert small.ended == silent[:1]


def test_who_passes_on_what_others_ask_does_not_count_for_its_address():
    house = House(limit=64)  # an address may have eight of them
    first = [house.silent("198.51.100.1") for _ in range(8)]
    for peer in first:
        house.connections.uncap(peer)
        house.connections.uncap(peer)

    for _ in range(8):
        assert house.silent("198.51.100.1") is not None
    assert house.ended == []
    assert len(house.connections) == 16

    house.silent("198.51.100.1")
    assert len(house.ended) == 1
    assert house.ended[0] not in first
    for peer in first:
        house.connections.leave(peer)
    house.connections.uncap(house.ended[0])
    assert len(house.connections) == 8
