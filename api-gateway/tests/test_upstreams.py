import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarding.upstreams import (
    FAILURES_TO_OPEN,
    LONGEST_OPEN_SECONDS,
    OPEN_SECONDS,
    SLOW_START_END,
    Upstream,
    UpstreamPool,
)
from shopkit.circuit_breaker import BreakerState
from shopkit.errors import Unavailable

CLOSED, HALF_OPEN, OPEN = BreakerState


@pytest.fixture
def upstream(clock):
    return Upstream("http://a", 100, clock)


def _fail(upstream, times=FAILURES_TO_OPEN):
    for _ in range(times):
        slot = upstream.take()
        slot.failed()
        slot.release()


def _succeed(upstream, times=1):
    for _ in range(times):
        slot = upstream.take()
        slot.succeeded()
        slot.release()


def test_no_more_requests_are_in_flight_than_may_be(upstream):
    slots = [upstream.take() for _ in range(100)]

    assert not upstream.has_room()
    slots.pop().release()
    assert upstream.has_room()


def test_polls_and_sockets_take_no_room_from_what_is_soon_answered(upstream):
    listening = [upstream.take(long_lived=True) for _ in range(1000)]
    slots = [upstream.take() for _ in range(100)]

    assert not upstream.has_room()
    assert upstream.has_room(long_lived=True)
    assert upstream.in_flight == 1100
    for slot in (*listening, *slots):
        slot.release()
    assert upstream.in_flight == 0


def test_failures_in_a_row_open_the_breaker(upstream):
    _fail(upstream, FAILURES_TO_OPEN - 1)
    assert upstream.breaker.state is CLOSED

    _fail(upstream, 1)

    assert upstream.breaker.state is OPEN
    assert not upstream.has_room()


def test_a_success_between_failures_keeps_it_closed(upstream):
    for _ in range(10):
        _fail(upstream, FAILURES_TO_OPEN - 1)
        _succeed(upstream)

    assert upstream.breaker.state is CLOSED


def test_a_trial_that_takes_long_does_not_keep_others_from_trying(upstream, clock):
    _fail(upstream)
    clock.now += OPEN_SECONDS
    upstream.take()
    assert not upstream.has_room()

    clock.now += OPEN_SECONDS

    assert upstream.has_room()
    upstream.take()
    assert not upstream.has_room()


def test_half_open_one_request_at_a_time_may_try(upstream, clock):
    _fail(upstream)

    clock.now += OPEN_SECONDS
    assert upstream.breaker.state is HALF_OPEN
    upstream.take()

    assert not upstream.has_room()


def test_with_each_success_one_more_may_try_until_all_may(upstream, clock):
    _fail(upstream)
    clock.now += OPEN_SECONDS

    ceilings = []
    while upstream.breaker.state is not CLOSED:
        ceilings.append(upstream.ceiling)
        _succeed(upstream)

    assert ceilings == list(range(1, SLOW_START_END))
    assert upstream.ceiling == 100


def test_each_failure_while_half_open_doubles_the_pause_up_to_a_bound(upstream, clock):
    _fail(upstream)
    pauses = []
    for _ in range(6):
        begin = clock.now
        while upstream.breaker.state is OPEN:
            clock.now += 0.5
        pauses.append(clock.now - begin)
        _succeed(upstream)
        _fail(upstream, 1)

    assert pauses == [1, 2, 4, 8, 10, 10]


def test_once_it_was_closed_the_next_pause_is_a_short_one_again(upstream, clock):
    for _ in range(3):
        _fail(upstream)
        clock.now += LONGEST_OPEN_SECONDS
    _succeed(upstream, SLOW_START_END)

    _fail(upstream)
    clock.now += OPEN_SECONDS

    assert upstream.breaker.state is HALF_OPEN


def test_what_becomes_of_requests_from_before_it_opened_does_not_count(upstream, clock):
    success, failure = upstream.take(), upstream.take()
    _fail(upstream)
    clock.now += OPEN_SECONDS

    assert upstream.in_flight == 0
    success.succeeded()
    failure.failed()
    failure.release()

    assert (upstream.breaker.state, upstream.ceiling, upstream.in_flight) == (HALF_OPEN, 1, 0)


@given(st.lists(st.sampled_from(["take", "succeed", "fail", "release", "wait"]), max_size=300))
def test_whatever_happens_it_comes_back_once_it_is_well(events):
    now = 1000.0
    upstream = Upstream("http://a", 10, lambda: now)
    slots = []
    for event in events:
        if event == "wait":
            now += 3
        elif event == "take" and upstream.has_room():
            slots.append(upstream.take())
        elif event != "take" and slots:
            slot = slots.pop(0)
            {"succeed": slot.succeeded, "fail": slot.failed, "release": slot.release}[event]()
            slot.release()
        assert 0 <= upstream.in_flight <= 10

    for slot in slots:
        slot.release()
    now += LONGEST_OPEN_SECONDS
    _succeed(upstream, SLOW_START_END)

    assert (upstream.breaker.state, upstream.in_flight) == (CLOSED, 0)


class TestSeveral:
    @pytest.fixture
    def pool(self, clock):
        return UpstreamPool("cart-service", [Upstream(f"http://{name}", 100, clock) for name in ("a", "b", "c")])

    def test_the_one_with_the_fewest_requests_in_flight_is_asked(self, pool):
        slots = [pool.take() for _ in range(300)]

        assert [each.in_flight for each in pool.upstreams] == [100, 100, 100]
        for slot in slots:
            if slot.upstream.url == "http://b":
                slot.release()
        assert pool.take().upstream.url == "http://b"

    def test_among_equals_it_is_not_always_the_same(self, pool):
        assert len({_taken_and_left(pool) for _ in range(100)}) == 3

    def test_the_named_one_is_asked_as_long_as_it_can_be(self, pool):
        named = pool.upstreams[2]
        for _ in range(50):
            assert pool.take(named.name).upstream.url == named.url

        _fail(named)

        assert pool.take(named.name).upstream.url != named.url

    def test_a_second_try_goes_elsewhere(self, pool):
        first = pool.take()

        for _ in range(20):
            second = pool.take(avoided=first)
            assert second.upstream.url != first.upstream.url
            second.release()

    def test_who_fails_gets_nothing_until_its_breaker_is_half_open(self, pool, clock):
        _fail(pool.upstreams[0])
        assert {pool.take().upstream.url for _ in range(50)} == {"http://b", "http://c"}

        clock.now += OPEN_SECONDS

        assert [pool.take().upstream.url for _ in range(10)].count("http://a") == 1

    def test_when_nobody_has_room_it_is_said_at_once(self, pool):
        for each in pool.upstreams:
            _fail(each)

        with pytest.raises(Unavailable, match="The cart service is not available at the moment"):
            pool.take()


def test_where_all_slots_are_taken_a_request_waits_until_one_is_free():
    upstream = Upstream("http://a", 2)
    slots = [upstream.take(), upstream.take()]
    pool = UpstreamPool("cart-service", [upstream], sleep=lambda _: slots.pop().release())

    assert pool.take().upstream.url == "http://a"


def test_slots_are_kept_for_addresses_that_have_few_requests_in_progress_and_for_those_that_have_none():
    pool = UpstreamPool("cart-service", [Upstream("http://a", 8)], sleep=lambda _: None)
    for leaves, number in ((1 / 4, 6), (1 / 8, 1), (0, 1)):
        for _ in range(number):
            pool.take(leaves=leaves)

        with pytest.raises(Unavailable):
            pool.take(leaves=leaves)


def test_an_upstream_of_one_slot_gives_it_to_anybody():
    assert UpstreamPool("cart-service", [Upstream("http://a", 1)]).take(leaves=1 / 4)


def test_nobody_waits_for_a_slot_for_more_than_a_second():
    slept = []
    upstream = Upstream("http://a", 1)
    upstream.take()

    with pytest.raises(Unavailable):
        UpstreamPool("cart-service", [upstream], sleep=slept.append).take()

    assert sum(slept) == pytest.approx(1)


def _taken_and_left(pool):
    slot = pool.take()
    slot.release()
    return slot.upstream.url
