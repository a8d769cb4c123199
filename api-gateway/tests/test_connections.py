"""One connection, one turn: what a crowd on the wire, or one who sends without end, leaves to everybody else."""

import json
import os
import resource
import socket
import struct
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

pytestmark = pytest.mark.processes

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
CART = b"GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n"
ENOUGH = 3.0  # seconds that nobody has to wait


def _connect(gateway, host: str = "127.0.0.1", timeout: float = 10) -> socket.socket:
    """A connection from an address of our own choice: all of 127.0.0.0/8 is this machine."""
    return socket.create_connection(gateway.address, timeout, source_address=(host, 0))


def _ask(gateway, sent: bytes = CART, host: str = "127.0.0.99") -> tuple[int, float]:
    """What somebody else is answered, and in how many seconds."""
    begin = time.monotonic()
    with _connect(gateway, host) as client:
        client.sendall(sent)
        status = int(client.recv(65536).split(b" ", 2)[1])
    return status, time.monotonic() - begin


def _slowest(gateway, times: int = 10) -> float:
    answers = [_ask(gateway) for _ in range(times)]
    assert {status for status, _ in answers} == {200}
    return max(seconds for _, seconds in answers)


def _worker(gateway) -> Path:
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    assert len(children) == 1
    return Path("/proc", children[0])


def _megabytes(gateway) -> float:
    return int((_worker(gateway) / "status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def _cpu_seconds(gateway) -> float:
    fields = (_worker(gateway) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _connections(gateway) -> int:
    """Those of clients that the gateway has not done with: established, or waiting for it to close them."""
    port, rows = f":{gateway.address[1]:04X}", Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(local.endswith(port) and state in ("01", "08") for _, local, _, state, *_ in map(str.split, rows))


def _descriptors(gateway) -> int:
    return len(list((_worker(gateway) / "fd").iterdir()))


def _log(gateway) -> str:
    return Path(f"/proc/{gateway.process.pid}/fd/2").read_text()


def _until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@contextmanager
def _in_background(*functions):
    """Have these run again and again until the end of the block."""
    is_over = Event()

    def repeat(function) -> None:
        while not is_over.is_set():
            with suppress(OSError):
                function()

    threads = [Thread(target=repeat, args=(each,), daemon=True) for each in functions]
    for each in threads:
        each.start()
    yield
    is_over.set()
    for each in threads:
        each.join(10)


@pytest.fixture
def crowd(gateway):
    """Open so many connections from each of so many addresses, each of which says this."""
    with ExitStack() as opened:

        def open_(addresses: int, each: int, sent: bytes = b"") -> list[socket.socket]:
            clients = []
            for number in range(addresses):
                for _ in range(each):
                    client = opened.enter_context(_connect(gateway, f"127.0.1.{number + 1}"))
                    with suppress(OSError):
                        client.sendall(sent)
                    clients.append(client)
            return clients

        yield open_


@pytest.fixture(scope="module")
def one_gateway(start):
    with start() as gateway:
        yield gateway


@pytest.fixture
def gateway(one_gateway, upstream):
    """The same one for all tests; none begins while it still hears, and logs, how the clients of another have gone."""
    yield one_gateway
    _until(lambda: not _connections(one_gateway))


PIPELINED = {
    "a page": GET,
    "no page": GET.replace(b"/ ", b"/nowhere "),
    "preflights": b"OPTIONS /cart HTTP/1.1\r\nHost: shop\r\nOrigin: https://a.example\r\n"
    b"Access-Control-Request-Method: GET\r\n\r\n",
}


@pytest.mark.parametrize("request_", PIPELINED.values(), ids=PIPELINED)
def test_who_pipelines_without_end_does_not_take_the_worker_from_others(gateway, request_):
    with ExitStack() as opened:
        clients = [opened.enter_context(_connect(gateway)) for _ in range(8)]

        def send(client: socket.socket):
            return lambda: client.sendall(request_ * 500)

        def read(client: socket.socket):
            return lambda: client.recv(1 << 20)

        with _in_background(*(does(each) for each in clients for does in (send, read))):
            time.sleep(0.5)  # until buffers are full
            slowest = _slowest(gateway)
            for each in clients:
                each.shutdown(socket.SHUT_RDWR)

    assert slowest < 1


def test_silent_connections_give_way_to_a_newcomer(gateway, crowd):
    crowd(addresses=20, each=180)

    assert _slowest(gateway) < ENOUGH


def test_who_has_its_share_of_connections_is_refused_more_and_told_so(start, upstream):
    with start(MAX_SOCKETS=12, CONNECT_TIMEOUT=10, MAX_IN_FLIGHT_PER_ADDRESS=64) as gateway, ExitStack() as opened:
        clients = [opened.enter_context(_connect(gateway)) for _ in range(64)]  # an eighth
        for client in clients:
            client.sendall(CART.replace(b"/cart", b"/cart/slow"))
        _until(lambda: len(upstream.requests) == 64)
        with _connect(gateway) as client:
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in head
        assert b"Connection: close" in head
        assert json.loads(body)["code"] == "too_many_connections"
        assert _ask(gateway)[0] == 200
        upstream.go_on.set()
        assert all(client.recv(65536).startswith(b"HTTP/1.1 200 ") for client in clients)


DRIPPING = {
    "heads": CART[:-2] + b"X-Test: ",
    "bodies": b"POST /cart/items HTTP/1.1\r\nHost: shop\r\nContent-Length: 900000\r\n\r\n",
}


@pytest.mark.parametrize("begin", DRIPPING.values(), ids=DRIPPING)
def test_two_thousand_that_drip_leave_the_worker_to_others(gateway, crowd, begin):
    clients = crowd(addresses=10, each=200, sent=begin)

    def drip() -> None:
        for client in clients:
            with suppress(OSError):
                client.send(b"a")
        time.sleep(0.01)  # this process has others to look after, too

    _until(lambda: _ask(gateway, GET)[1] < 0.5)  # two thousand heads have been read
    with _in_background(drip):
        answers = [_ask(gateway, GET) for _ in range(20)]

    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < ENOUGH


def test_large_heads_that_never_end_do_not_fill_the_memory_and_it_is_given_back(start):
    head = CART[:-2] + b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(27))
    with start() as gateway:
        before = _megabytes(gateway)
        with ExitStack() as opened:
            for number in range(2000):
                client = opened.enter_context(_connect(gateway, f"127.0.1.{number % 10 + 1}"))
                with suppress(OSError):
                    client.sendall(head)
            assert _ask(gateway, GET)[0] == 200
            assert _megabytes(gateway) < before + 50

        _until(lambda: _megabytes(gateway) < before + 15)


def test_connections_that_are_reset_at_once_leave_nothing_behind(gateway):
    _ask(gateway, GET)
    files, lines = _descriptors(gateway), len(_log(gateway).splitlines())
    for number in range(3000):
        client = _connect(gateway, f"127.0.1.{number % 20 + 1}")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.send(GET[: number % 20])
        client.close()

    assert _ask(gateway, GET)[0] == 200
    _until(lambda: _descriptors(gateway) <= files)
    assert len(_log(gateway).splitlines()) <= lines + 1


def test_who_finds_no_descriptor_left_takes_that_of_a_silent_one(gateway, crowd):
    _ask(gateway)
    pid, needed = int(_worker(gateway).name), _descriptors(gateway) + 30
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (needed, limits[1]))
    try:
        crowd(addresses=1, each=100)
        statuses = {_ask(gateway, GET)[0] for _ in range(10)}
        before = _cpu_seconds(gateway)
        time.sleep(1)
        used = _cpu_seconds(gateway) - before
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    assert statuses == {200}
    assert used < 0.5  # it does not spin
    assert "Traceback" not in _log(gateway)


def test_who_reads_its_answer_too_slowly_is_ended_in_time(start, upstream, tmp_path):
    (tmp_path / "impatient.py").write_text(
        "from shopkit.server.gevent_worker import Worker as Patient\nclass Worker(Patient):\n    answer_seconds = 1\n"
    )
    arguments = "--worker-class impatient.Worker"
    with start(GUNICORN_CMD_ARGS=arguments, PYTHONPATH=tmp_path) as gateway, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(gateway.address)
        client.sendall(CART.replace(b"/cart", b"/cart/endless"))

        def sip() -> None:
            client.recv(500)
            time.sleep(0.25)

        with _in_background(sip):  # 2000 bytes a second
            assert upstream.hung_up.wait(30)


def _unsent(client) -> int:
    """Bytes that the system keeps for this client until it has read them."""
    gateway, us = ("{:08X}:{:04X}".format(*_endpoint(each)) for each in (client.getpeername(), client.getsockname()))
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return next(int(fields[4].partition(":")[0], 16) for fields in lines if fields[1:3] == [gateway, us])


def _endpoint(address) -> tuple[int, int]:
    host, port = address
    return int.from_bytes(socket.inet_aton(host), sys.byteorder), port


def test_who_does_not_read_has_little_kept_for_them(gateway):
    script = GET.replace(b" / ", b" /docs/swagger-ui-bundle.js ")
    assert _ask(gateway, script)[0] == 200  # from here on it is in memory
    before = _megabytes(gateway)

    with ExitStack() as opened:
        clients = []
        for number in range(60):
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind((f"127.0.1.{number % 3 + 1}", 0))
            client.connect(gateway.address)
            client.sendall(script * 4)
            clients.append(client)
        assert _slowest(gateway) < ENOUGH

        assert 0 < max(map(_unsent, clients)) < 256 * 1024
        assert _megabytes(gateway) - before < 20
