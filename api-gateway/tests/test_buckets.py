import logging
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread

import pytest
import redis

from limits import buckets
from limits.buckets import Bucket, LocalBuckets, Rate, RedisBuckets
from limits.soft_dependency import PAUSE_SECONDS

GATEWAY = Path(__file__).parents[1]


@pytest.fixture
def local(clock):
    return LocalBuckets(clock)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def prefix(client, monkeypatch):
    """For keys of this test alone, in a Redis that may be slow as all on this machine."""
    monkeypatch.setattr(buckets, "REDIS_SECONDS", 5)
    prefix = f"test-{uuid.uuid4().hex}:"
    yield prefix
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)


@pytest.fixture(params=["local", "redis"])
def take(request):
    """Take from buckets of either kind, whose time goes on by `wait`."""
    if request.param == "local":
        return LocalBuckets().take
    return RedisBuckets(request.getfixturevalue("redis_url"), request.getfixturevalue("prefix")).take


def bucket(who="alice", *, per_second=0.001, burst=3):
    return Bucket("requests", who, Rate(per_second, burst))


def about(*tokens):
    return pytest.approx(tokens, abs=0.01)


def test_a_rate_is_read_from_a_sentence():
    assert Rate.parse("20/second burst 100") == Rate(20, 100)
    assert Rate.parse("30/minute burst 5") == Rate(0.5, 5)
    assert Rate.parse("36/hour burst 1") == Rate(0.01, 1)


def test_off_is_no_rate():
    assert Rate.parse("off") is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "20", "20/second", "0/second burst 5", "5/second burst 0", "-1/second burst 5", "1.5/second burst 5"),
        *(
            "5/week burst 5",
            "5/second burst",
            "5/second burst 5\n",
            "\u0665/second burst 5",
            "1234567890/hour burst 5",
        ),
    ],
)
def test_nonsense_is_no_rate(text):
    with pytest.raises(ValueError, match="a rate looks like"):
        Rate.parse(text)


def test_a_bucket_gives_what_fits_into_it_and_then_no_more(take):
    assert [take([bucket()]).allowed for _ in range(5)] == [True, True, True, False, False]


def test_everybody_has_a_bucket_of_their_own(take):
    for _ in range(4):
        take([bucket("alice")])

    assert take([bucket("bob")]) == (True, about(2))


def test_a_bucket_fills_at_its_rate(take):
    quick = bucket(per_second=5, burst=2)
    while take([quick]).allowed:
        pass

    time.sleep(0.25)

    assert take([quick]).allowed


def test_it_says_what_is_left(take):
    assert [take([bucket()]).left for _ in range(4)] == [about(left) for left in (2, 1, 0, 0)]


def test_nothing_is_taken_unless_there_is_enough_everywhere(take):
    small, large = bucket("small", burst=1), bucket("large", burst=5)

    taken = [take([large, small]) for _ in range(3)]

    assert [each.allowed for each in taken] == [True, False, False]
    assert taken[-1].left == about(4, 0)


def test_a_bucket_never_holds_more_than_fits(local, clock):
    for now in (0, 1, 1_000_000):
        clock.now = now
        assert local.take([bucket(per_second=1, burst=3)]).left == about(2)


def test_no_token_is_lost_to_rounding(local, clock):
    third = bucket(per_second=1 / 3, burst=3)
    for _ in range(3):
        local.take([third])

    for _ in range(1000):
        clock.now += 3
        assert local.take([third]).allowed
        assert not local.take([third]).allowed


def test_full_buckets_are_forgotten(local, clock):
    for number in range(100):
        local.take([bucket(str(number), per_second=1)])

    clock.now += 1
    local.take([bucket("alice")])

    assert len(local) == 1


def test_the_buckets_that_nobody_used_for_longest_make_room(local, monkeypatch):
    monkeypatch.setattr(buckets, "MAX_BUCKETS", 3)
    for who in ("old", "often", "often", "new", "often", "newer"):
        local.take([bucket(who)])

    assert len(local) == 3
    assert local.take([bucket("often")]) == (False, about(0))
    assert local.take([bucket("old")]).left == about(2)


def test_threads_take_no_more_than_there_is(local):
    barrier = Barrier(8)
    allowed = []

    def take_some() -> None:
        barrier.wait()
        allowed.extend(local.take([bucket(burst=100)]).allowed for _ in range(50))

    threads = [Thread(target=take_some) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sum(allowed) == 100


def test_all_processes_share_what_is_in_redis(redis_url, prefix):
    here, there = RedisBuckets(redis_url, prefix), RedisBuckets(redis_url, prefix)

    allowed = [each.take([bucket()]).allowed for each in (here, there, here, there)]

    assert allowed == [True, True, True, False]


def test_redis_forgets_a_bucket_when_it_is_full(redis_url, prefix, client):
    RedisBuckets(redis_url, prefix).take([bucket(per_second=0.1)])

    assert 9_900 < client.pttl(f"{prefix}requests:alice") <= 10_000


def test_a_redis_clock_that_is_set_back_empties_no_bucket_for_longer_than_it_takes_to_fill(redis_url, prefix, client):
    client.set(f"{prefix}requests:alice", "99999999999")

    taken = RedisBuckets(redis_url, prefix).take([bucket(per_second=0.1)])

    assert taken == (False, about(0))


def test_without_redis_the_process_counts_for_itself_and_says_so_once(caplog, clock):
    alone = RedisBuckets("redis://127.0.0.1:9", clock=clock)

    allowed = []
    for _ in range(4):
        allowed.append(alone.take([bucket()]).allowed)
        clock.now += PAUSE_SECONDS + 1

    assert allowed == [True, True, True, False]
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "Redis is away, so every process counts for itself" in caplog.text


def test_a_redis_that_hangs_costs_one_time_out_in_five_seconds(clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = RedisBuckets(f"redis://127.0.0.1:{silent.getsockname()[1]}", clock=clock)
        begin = time.monotonic()
        hanging.take([bucket()])
        first = time.monotonic() - begin
        for _ in range(100):
            hanging.take([bucket()])
        others = time.monotonic() - begin - first

    assert buckets.REDIS_SECONDS <= first < 4 * buckets.REDIS_SECONDS
    assert others < buckets.REDIS_SECONDS


@contextmanager
def _redis_at(port, folder):
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        with redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)) as client:
            client.ping()
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.processes
def test_redis_counts_again_when_it_is_back(clock, caplog, free_port, tmp_path):
    caplog.set_level(logging.INFO)
    shared = RedisBuckets(f"redis://127.0.0.1:{free_port}", clock=clock)
    with _redis_at(free_port, tmp_path):
        shared.take([bucket()])
    shared.take([bucket()])
    with _redis_at(free_port, tmp_path):
        too_early = shared.take([bucket()])
        clock.now += PAUSE_SECONDS
        back = shared.take([bucket()])

    assert too_early.left == about(1)  # its own second
    assert back.left == about(2)  # Redis's first, for it has forgotten everything
    assert [each.message.split(",")[0] for each in caplog.records] == ["Redis is away", "Redis is back"]


@pytest.mark.processes
def test_a_redis_that_was_only_started_anew_is_not_taken_for_away(caplog, free_port, tmp_path):
    shared = RedisBuckets(f"redis://127.0.0.1:{free_port}")
    for _ in range(2):
        with _redis_at(free_port, tmp_path):
            assert shared.take([bucket()]).left == about(2)

    assert caplog.records == []


GREENLETS = """
from gevent import monkey, spawn, joinall
monkey.patch_all()
import sys, time
from limits import buckets
from limits.buckets import Bucket, RedisBuckets, Rate
buckets.REDIS_SECONDS = float(sys.argv[3])
buckets.BUSY_SECONDS = 5
shared = RedisBuckets(sys.argv[1], sys.argv[2])
bucket = Bucket("requests", "alice", Rate(0.001, 100))
begin = time.monotonic()
asked = [spawn(shared.take, [bucket]) for _ in range(300)]
joinall(asked)
print(sum(each.get().allowed for each in asked), time.monotonic() - begin, not shared._redis.breaker.is_closed)
"""


def _in_greenlets(url, prefix, seconds):
    command = [sys.executable, "-c", GREENLETS, url, prefix, str(seconds)]
    done = subprocess.run(command, cwd=GATEWAY, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    allowed, seconds, away = done.stdout.split()
    return int(allowed), float(seconds), away == "True"


@pytest.mark.processes
def test_greenlets_share_few_connections(redis_url, prefix):
    allowed, _, away = _in_greenlets(redis_url, prefix, 5)

    assert (allowed, away) == (100, False)


@pytest.mark.processes
def test_greenlets_wait_for_a_redis_that_hangs_all_at_once():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        allowed, seconds, away = _in_greenlets(f"redis://127.0.0.1:{silent.getsockname()[1]}", "x:", 0.25)

    assert (allowed, away) == (100, True)
    assert seconds < 2  # in turn they would take five


@pytest.mark.processes
def test_the_redis_library_is_only_loaded_where_it_is_used():
    code = "import sys, limits.rate_limits; sys.exit('redis' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=GATEWAY, check=False).returncode == 0  # noqa: S603
