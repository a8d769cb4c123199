"""A few at once, a few more who wait for their turn, and a plain no for whoever else comes."""

import threading
import time

import pytest
from flask import Flask

from shopkit import slots
from shopkit.slots import Busy, Slots

APP = Flask(__name__)
LONG = 20  # seconds, in which nothing here should take place


class Visitor(threading.Thread):
    """Somebody who wants a slot, keeps it until told to leave, and notes that they had it."""

    def __init__(self, wanted, entered, address="127.0.0.1"):
        super().__init__(daemon=True)
        self.wanted, self.entered, self.address = wanted, entered, address
        self.may_leave, self.result = threading.Event(), None
        self.start()

    def run(self):
        try:
            with APP.test_request_context(environ_base={"REMOTE_ADDR": self.address}), self.wanted:
                self.entered.append(self)
                self.result = "came in"
                self.may_leave.wait(LONG)
        except Busy:
            self.result = "sent away"

    def leave(self):
        self.may_leave.set()
        self.join(LONG)


def _until(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.001)


def _come(wanted, entered, *addresses):
    """One after the other."""
    visitors = []
    for number, address in enumerate(addresses):
        visitors.append(Visitor(wanted, entered, address))
        _until(lambda: len(entered) + wanted.waiting == number + 1)  # noqa: B023 - it is asked at once
    return visitors


@pytest.fixture
def entered():
    return []


def test_only_so_many_are_in_at_once_and_the_others_follow_in_their_order(entered):
    wanted = Slots(2, 3, LONG)
    visitors = _come(wanted, entered, *["10.0.0.1"] * 5)
    assert entered == visitors[:2]

    for number in range(3):
        visitors[number].leave()
        _until(lambda: len(entered) == number + 3)  # noqa: B023
        assert entered == visitors[: number + 3]


def test_turns_go_round_among_addresses_however_many_wait_from_one(entered):
    wanted = Slots(1, 9, LONG)
    visitors = _come(wanted, entered, *["10.0.0.1"] * 4, "10.0.0.2", "10.0.0.3", "10.0.0.2")

    for number in range(1, 7):
        entered[-1].leave()
        _until(lambda: len(entered) == number + 1)  # noqa: B023

    entered[-1].leave()
    assert [visitors.index(each) for each in entered] == [0, 1, 4, 5, 2, 6, 3]


def test_an_address_that_has_all_places_loses_the_newest_to_who_comes_from_another(entered):
    wanted = Slots(1, 3, LONG)
    first, *crowd = _come(wanted, entered, *["10.0.0.1"] * 4)

    other = Visitor(wanted, entered, "10.0.0.2")

    _until(lambda: crowd[-1].result == "sent away")
    first.leave()
    for each in (crowd[0], other, crowd[1]):
        _until(lambda: each in entered)  # noqa: B023
        each.leave()


def test_nobody_loses_a_place_to_who_would_then_have_more(entered):
    wanted = Slots(1, 2, LONG)
    visitors = _come(wanted, entered, "10.0.0.1", "10.0.0.1", "10.0.0.2")

    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        with APP.test_request_context(environ_base={"REMOTE_ADDR": address}), pytest.raises(Busy), wanted:
            pass

    for each in visitors:
        _until(lambda: each in entered)  # noqa: B023
        each.leave()


def test_who_finds_no_place_to_wait_is_sent_away_at_once_and_told_when_to_come_again(entered):
    wanted = Slots(1, 1, LONG)
    first = Visitor(wanted, entered)
    _until(lambda: entered)
    waiting = Visitor(wanted, entered)
    _until(lambda: wanted._turns)

    with pytest.raises(Busy) as refused, wanted:
        pass

    assert (refused.value.status, refused.value.code, refused.value.headers) == (503, "busy", {"Retry-After": "1"})
    first.leave()
    _until(lambda: waiting.result == "came in")
    waiting.leave()


def test_who_has_waited_long_enough_is_sent_away_and_frees_the_place(entered):
    wanted = Slots(1, 1, 0.01)
    first = Visitor(wanted, entered)
    _until(lambda: entered)

    for _ in range(3):
        with pytest.raises(Busy), wanted:
            pass

    first.leave()
    with wanted:
        pass


def test_a_slot_is_free_again_whatever_happened_in_it():
    wanted = Slots(1, 0)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), wanted:
            raise ZeroDivisionError


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("came", ["too early", "with the turn"])
def test_a_slot_is_not_lost_when_who_waits_for_it_is_stopped(monkeypatch, came):
    """As gunicorn stops a request whose time is over, and gevent a greenlet."""
    wanted = Slots(1, 1)

    class Turn(threading.Event):
        def wait(self, seconds):
            if came == "with the turn":
                wanted.__exit__()
            raise Interrupted

    monkeypatch.setattr(slots, "Event", Turn)
    wanted.__enter__()

    with pytest.raises(Interrupted), wanted:
        pass

    if came == "too early":
        wanted.__exit__()
    with wanted:
        pass


def test_a_turn_that_comes_at_the_last_moment_counts(monkeypatch):
    wanted = Slots(1, 1)

    class Turn(threading.Event):
        def wait(self, seconds):
            wanted.__exit__()
            return False

    monkeypatch.setattr(slots, "Event", Turn)
    wanted.__enter__()

    with wanted:
        pass


def test_nothing_is_lost_when_many_come_and_go():
    wanted, inside, most, lock = Slots(3, 8, LONG), 0, 0, threading.Lock()
    served = []

    def come_and_go():
        nonlocal inside, most
        for _ in range(100):
            try:
                with wanted:
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0)
                    with lock:
                        inside -= 1
                        served.append(1)
            except Busy:
                pass

    threads = [threading.Thread(target=come_and_go) for _ in range(11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)

    assert len(served) == 1100  # three and eight are as many as there are threads
    assert most <= 3
    assert (wanted._free, wanted._turns) == (3, {})
