"""How fast one may be, and who may be there: by a clock in the hands of the test."""

import pytest

from shopkit.server import pacing
from shopkit.server.attendance import Attendance, Bounds, TooManySockets
from shopkit.server.pacing import Bucket, Buckets, Rate


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Session:
    def __init__(self, sid):
        self.sid = sid
        self.ended = None

    def end(self, status, reason):
        self.ended = (int(status), reason)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def attendance(clock):
    expired = []
    bounds = Bounds(
        sign_in_seconds=10,
        strangers=4,
        strangers_an_address=2,
        of_address=3,
        of_account=2,
        stranger_rate=Rate(2, 1),
        account_rate=Rate(4, 2),
        address_rate=Rate(6, 1),
    )
    attendance = Attendance(bounds, expired.append, clock, clock)
    attendance.expired = expired
    return attendance


@pytest.fixture
def come(attendance):
    """Let somebody connect, as the entrance does: `come("name", "address", account)`"""

    def come(sid, address="1.2.3.4", account=None, **until):
        attendance.make_room(address)
        session = Session(sid)
        attendance.enter(session, address)
        if account is not None:
            attendance.sign_in(sid, account, **until)
        return session

    return come


def test_who_is_ahead_waits_and_the_longer_the_further():
    bucket = Bucket(Rate(burst=2, per_second=4), moment=0)

    assert [bucket.take(0) for _ in range(4)] == [0, 0, 0.25, 0.5]
    assert bucket.take(1) == 0
    assert bucket.take(100, number=6) == 1


def test_full_buckets_are_forgotten_and_of_very_many_the_oldest(clock, monkeypatch):
    monkeypatch.setattr(pacing, "MOST_BUCKETS", 3)
    buckets = Buckets(Rate(1, 1), clock)
    for name in "abcd":
        buckets.take(name)
    assert len(buckets) == 3

    clock.now += 10
    for _ in range(5):
        buckets.take("e")
    assert len(buckets) <= 2


def test_who_has_not_signed_in_in_time_goes_and_who_has_stays(attendance, come, clock):
    stranger, known = come("s"), come("k", account=1)

    clock.now += 9.9
    attendance.sweep()
    assert stranger.ended is None
    clock.now += 0.1
    attendance.sweep()

    assert stranger.ended == (1008, "nobody signed in within 10 seconds")
    assert (known.ended, len(attendance)) == (None, 1)


def test_strangers_of_an_address_give_way_the_oldest_first(come):
    first, second, third = (come(sid) for sid in "abc")

    assert (first.ended[0], second.ended, third.ended) == (1008, None, None)


def test_strangers_of_all_addresses_give_way_to_newcomers_too(come):
    sessions = [come(f"{n}", f"10.0.0.{n}") for n in range(5)]

    assert [bool(each.ended) for each in sessions] == [True, False, False, False, False]


def test_a_crowd_of_strangers_gives_way_before_who_comes_alone(come):
    alone = come("a", "10.0.0.1")

    crowd = [come(f"{n}", f"10.0.0.{2 + n % 2}") for n in range(8)]

    assert (alone.ended, [bool(each.ended) for each in crowd]) == (None, [True] * 5 + [False] * 3)


def test_who_has_signed_in_gives_way_to_nobody(come):
    known = [come(f"{n}", account=n) for n in range(3)]

    with pytest.raises(TooManySockets):
        come("one too many")
    assert come("somebody elsewhere", "5.6.7.8").ended is None
    assert not any(each.ended for each in known)


def test_an_account_has_so_many_sockets_from_wherever(attendance, come):
    come("a", "1.1.1.1", account=7), come("b", "2.2.2.2", account=7)

    with pytest.raises(TooManySockets):
        come("c", "3.3.3.3", account=7)
    attendance.leave("a")
    come("d", "4.4.4.4", account=7)


def test_who_leaves_is_counted_no_more(attendance, come):
    for _ in range(20):
        come("a", account=7)
        attendance.leave("a")
        attendance.leave("a")

    assert len(attendance) == 0
    assert not attendance._of_account
    assert not attendance._of_address


def test_an_account_is_not_faster_by_having_two_sockets(attendance, come):
    come("a", "1.1.1.1", account=7), come("b", "2.2.2.2", account=7), come("c", "3.3.3.3", account=8)

    delays = [attendance.delay(sid) for sid in "ababab"]

    assert delays == [0, 0, 0, 0, 0.5, 1.0]
    assert attendance.delay("c") == 0


def test_an_account_is_not_faster_by_connecting_anew(attendance, come):
    come("a", account=7)
    for _ in range(5):
        attendance.delay("a")
    attendance.leave("a")
    come("b", account=7)

    assert attendance.delay("b") == 1.0


def test_an_address_is_not_faster_by_having_two_accounts(attendance, come):
    come("a", account=7), come("b", account=8)

    assert [attendance.delay(sid) for sid in "abababab"] == [0, 0, 0, 0, 0, 0, 1, 2]


def test_a_stranger_may_say_little(attendance, come):
    come("a")

    assert [attendance.delay("a") for _ in range(4)] == [0, 0, 1, 2]


def test_a_token_that_expires_is_told_once(attendance, come, clock):
    come("a", account=7, ends_at=clock.now + 5)
    attendance.sweep()
    assert attendance.expired == []

    clock.now += 5
    attendance.sweep()
    attendance.sweep()

    assert attendance.expired == ["a"]


def test_who_signs_out_and_stays_has_to_sign_in_again_in_time(attendance, come, clock):
    session = come("a", account=7)
    clock.now += 60
    attendance.sign_out("a")
    attendance.sweep()
    assert session.ended is None

    clock.now += 10
    attendance.sweep()
    assert session.ended[0] == 1008
