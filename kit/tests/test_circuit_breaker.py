"""What keeps failing is left alone for a while, and trusted again step by step."""

import pytest

from shopkit.circuit_breaker import BreakerState, CircuitBreaker

CLOSED, HALF_OPEN, OPEN = BreakerState


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(failures=3, successes=2, seconds=1, longest_seconds=5, clock=clock)


def _fail(breaker, times=3):
    return [breaker.record_failure() for _ in range(times)]


def test_failures_in_a_row_open_it(breaker):
    assert _fail(breaker) == [False, False, True]
    assert (breaker.state, breaker.trial_is_due) == (OPEN, False)


def test_a_success_between_failures_keeps_it_closed(breaker):
    for _ in range(10):
        _fail(breaker, 2)
        assert not breaker.record_success()

    assert breaker.state is CLOSED


def test_after_its_time_a_trial_is_due_and_another_one_only_after_a_while(breaker, clock):
    _fail(breaker)
    clock.now += 1

    assert (breaker.state, breaker.trial_is_due) == (HALF_OPEN, True)
    breaker.begin_trial()
    assert not breaker.trial_is_due
    clock.now += 1
    assert breaker.trial_is_due


def test_so_many_trials_that_succeed_close_it_and_no_fewer(breaker, clock):
    _fail(breaker)
    clock.now += 1

    assert [breaker.record_success() for _ in range(2)] == [False, True]
    assert breaker.state is CLOSED


def test_trials_that_succeeded_before_it_opened_again_do_not_count(breaker, clock):
    _fail(breaker)
    for _ in range(2):
        clock.now += 2
        assert not breaker.record_success()
        _fail(breaker, 1)
        assert breaker.state is OPEN


def test_with_each_trial_that_fails_it_is_open_for_twice_as_long_up_to_a_bound(breaker, clock):
    _fail(breaker)
    seconds = []
    for _ in range(5):
        seconds.append(breaker.open_seconds)
        clock.now += breaker.open_seconds
        _fail(breaker, 1)

    assert seconds == [1, 2, 4, 5, 5]


def test_once_it_was_closed_again_it_takes_as_many_failures_and_as_little_time_as_ever(breaker, clock):
    for _ in range(2):
        _fail(breaker)
        clock.now += 5
    for _ in range(2):
        breaker.record_success()

    assert _fail(breaker) == [False, False, True]
    assert breaker.open_seconds == 1
