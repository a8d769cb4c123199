"""Engine.IO's sessions, on an engine that only looks after time."""

import logging
import queue
import time
from types import SimpleNamespace

import pytest
from engineio.packet import PING, PONG, Packet

from shopkit.server import engineio_sessions
from shopkit.server.engineio_sessions import Session


class Engine:
    """Of an engine what a session needs; a task in the background is none of that."""

    ping_interval, ping_timeout = 25, 20
    logger = logging.getLogger("engineio.server")

    def create_queue(self):
        return queue.Queue()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(engineio_sessions, "time", SimpleNamespace(monotonic=clock, time=time.time))
    return clock


def _sent(session):
    return [session.queue.get_nowait().packet_type for _ in range(session.queue.qsize())]


def test_a_ping_needs_no_thread_that_would_outlive_its_session(clock):
    session = Session(Engine(), "sid")
    session.schedule_ping()

    clock.now += 24
    session.ping_when_due()
    assert _sent(session) == []

    clock.now += 1
    session.ping_when_due()
    session.ping_when_due()
    assert _sent(session) == [PING]


def test_the_next_ping_follows_the_answer_to_the_last_one(clock):
    session = Session(Engine(), "sid")
    session.schedule_ping()
    clock.now += 25
    session.ping_when_due()
    clock.now += 1
    session.receive(Packet(PONG))
    _sent(session)

    clock.now += 25
    session.ping_when_due()
    assert _sent(session) == [PING]


def test_answers_that_nobody_has_asked_for_do_not_put_off_the_next_ping(clock):
    session = Session(Engine(), "sid")
    session.schedule_ping()
    clock.now += 24
    session.receive(Packet(PONG))

    clock.now += 1
    session.ping_when_due()
    assert _sent(session) == [PING]
