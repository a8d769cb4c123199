"""Answers that clients take slowly: what a service has given is kept, in order, in little memory and bounded disk."""

import queue
import time
from contextlib import closing
from itertools import chain
from threading import Event

import pytest

from forwarding import spool
from forwarding.spool import DiskSpace, Spool

PIECE = 16 * 1024
ENOUGH = 10.0  # seconds, for what takes milliseconds


class Service:
    """Gives these pieces, one after the other; `given` counts them, an exception among them is raised."""

    def __init__(self, pieces) -> None:
        self._pieces = iter(pieces)
        self.given = 0
        self.is_broken_off = False
        self.closed = Event()

    def read(self) -> bytes:
        piece = next(self._pieces, b"")
        if isinstance(piece, Exception):
            raise piece
        self.given += bool(piece)
        return piece

    def break_off(self) -> None:
        self.is_broken_off = True

    def close(self) -> None:
        self.closed.set()


class Pipe:
    """Gives what a test puts into it, when it does."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes] = queue.Queue()
        self.is_broken_off = False
        self.closed = Event()

    def read(self) -> bytes:
        return self.pieces.get(timeout=ENOUGH)

    def break_off(self) -> None:
        self.is_broken_off = True
        self.pieces.put(b"")

    def close(self) -> None:
        self.closed.set()


def _until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def _pieces(number, size=PIECE):
    return [bytes([each % 256]) * size for each in range(number)]


@pytest.fixture
def space():
    return DiskSpace(64 * spool.DISK_BYTES)


@pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 100, 1024, 1500])
def test_what_comes_out_is_what_went_in(space, number):
    with closing(Spool(Service(_pieces(number)), space)) as answer:
        assert b"".join(answer) == b"".join(_pieces(number))
    assert space.used == 0


def test_a_service_is_done_long_before_a_client_that_takes_nothing(space):
    service = Service(_pieces(200))

    with closing(Spool(service, space)) as answer:
        assert service.closed.wait(ENOUGH)
        assert service.given == 200
        assert 0 < space.used <= 200 * PIECE
        assert b"".join(answer) == b"".join(_pieces(200))


def test_a_client_that_keeps_up_needs_no_disk(monkeypatch, space):
    monkeypatch.setattr(spool, "SPILL_SECONDS", ENOUGH)
    monkeypatch.setattr(spool, "TemporaryFile", None)

    with closing(Spool(Service(_pieces(100)), space)) as answer:
        assert sum(map(len, answer)) == 100 * PIECE


def test_each_piece_can_be_taken_before_the_next_one_is_there(space):
    service = Pipe()

    with closing(Spool(service, space)) as answer:
        taken = iter(answer)
        for piece in (b"data: first\n\n", b"data: second\n\n"):
            service.pieces.put(piece)
            assert next(taken) == piece
        service.pieces.put(b"")
        assert list(taken) == []


def test_what_comes_later_never_overtakes_what_is_on_disk(space):
    service = Service(_pieces(300))

    with closing(Spool(service, space)) as answer:
        taken = iter(answer)
        first = [next(taken)]
        assert service.closed.wait(ENOUGH)  # the rest is on disk
        assert b"".join(chain(first, taken)) == b"".join(_pieces(300))


def test_memory_is_not_used_again_before_the_disk_is_empty(space):
    service = Pipe()
    pieces = _pieces(30)

    with closing(Spool(service, space)) as answer:
        taken = iter(answer)
        for piece in pieces[:20]:
            service.pieces.put(piece)
        _until(lambda: space.used)
        received = [next(taken)]  # all that is in memory
        for piece in (*pieces[20:], b""):
            service.pieces.put(piece)
        assert service.closed.wait(ENOUGH)
        assert b"".join([*received, *taken]) == b"".join(pieces)


def test_beyond_its_share_of_the_disk_an_answer_makes_its_service_wait(space):
    service = Service(_pieces(3 * spool.DISK_BYTES // PIECE))

    with closing(Spool(service, space)) as answer:
        assert not service.closed.wait(0.5)
        assert space.used <= spool.DISK_BYTES
        assert service.given * PIECE <= spool.DISK_BYTES + 2 * spool.MEMORY_BYTES
        assert sum(map(len, answer)) == 3 * spool.DISK_BYTES
    assert service.closed.is_set()


def test_all_answers_together_have_no_more_disk_than_there_is():
    space = DiskSpace(10 * PIECE)
    services = [Service(_pieces(50)) for _ in range(3)]
    answers = [Spool(each, space) for each in services]

    assert not any(each.closed.wait(0.2) for each in services)
    assert space.used <= 10 * PIECE
    for answer in answers:
        assert b"".join(answer) == b"".join(_pieces(50))
        answer.close()
    assert space.used == 0


@pytest.mark.parametrize("takes_half", [False, True])
def test_a_disk_that_is_full_makes_services_wait_and_loses_nothing(monkeypatch, space, takes_half):
    write, tried = spool.os.pwrite, Event()

    def write_too_little(file, data, at):
        tried.set()
        if takes_half:
            return write(file, data[: len(data) // 2], at)
        raise OSError("No space left on device")

    monkeypatch.setattr(spool.os, "pwrite", write_too_little)

    with closing(Spool(Service(_pieces(100)), space)) as answer:
        assert tried.wait(ENOUGH)
        assert b"".join(answer) == b"".join(_pieces(100))
    assert space.used == 0


def test_what_the_service_raises_comes_after_all_that_it_gave(space):
    service = Service([*_pieces(50), ValueError("it broke off")])
    taken = []

    with closing(Spool(service, space)) as answer, pytest.raises(ValueError, match="it broke off"):
        taken.extend(answer)

    assert b"".join(taken) == b"".join(_pieces(50))


def test_a_client_that_leaves_breaks_off_what_is_still_coming(space):
    service = Pipe()
    answer = Spool(service, space)
    service.pieces.put(b"some")
    next(iter(answer))

    answer.close()

    assert service.is_broken_off
    assert service.closed.wait(ENOUGH)


def test_a_client_that_leaves_while_its_service_waits_ends_that(space):
    service = Service(_pieces(3 * spool.DISK_BYTES // PIECE))
    answer = Spool(service, space)
    assert not service.closed.wait(0.3)

    answer.close()
    answer.close()

    assert service.closed.wait(ENOUGH)
    assert space.used == 0


def test_what_is_complete_is_not_broken_off(space):
    service = Service(_pieces(2))
    answer = Spool(service, space)
    assert b"".join(answer) == b"".join(_pieces(2))

    answer.close()

    assert not service.is_broken_off


def test_a_client_that_is_forgotten_does_not_keep_its_service_for_ever(monkeypatch, space):
    monkeypatch.setattr(spool, "STALLED_SECONDS", 0.05)
    service = Service(_pieces(3 * spool.DISK_BYTES // PIECE))

    with closing(Spool(service, space)) as answer:
        assert service.closed.wait(ENOUGH)
        with pytest.raises(TimeoutError):
            list(answer)


@pytest.mark.processes
def test_clients_that_do_not_read_hold_no_slot_of_a_service(start, upstream):
    with start(MAX_IN_FLIGHT="1", MAX_IN_FLIGHT_PER_ADDRESS="1") as gateway:
        readers = [gateway.socket() for _ in range(4)]
        for reader in readers:
            reader.sendall(b"GET /products/medium HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            assert b" 200 OK" in reader.recv(100)

        assert gateway.ask("GET", "/products").status == 200
        metrics = gateway.ask("GET", "/metrics").body.decode()
        assert "gateway_spooled_bytes 0.0" not in metrics
        assert 'gateway_requests_in_flight{service="product-service"' in metrics

        for reader in readers:
            received = b"".join(iter(lambda reader=reader: reader.recv(1 << 20), b""))
            _, _, body = (b" 200 OK" + received).partition(b"\r\n\r\n")
            assert body == b"".join(bytes([number]) * 1024 * 1024 for number in range(12))
            reader.close()
        assert b"gateway_spooled_bytes 0.0" in gateway.ask("GET", "/metrics").body


@pytest.mark.processes
def test_a_client_that_leaves_gives_the_disk_back(start, upstream):
    with start() as gateway:
        with gateway.socket() as reader:
            reader.sendall(b"GET /products/endless HTTP/1.1\r\nHost: shop\r\n\r\n")
            reader.recv(100)
        assert upstream.hung_up.wait(ENOUGH)
        _until(lambda: b"gateway_spooled_bytes 0.0" in gateway.ask("GET", "/metrics").body)
