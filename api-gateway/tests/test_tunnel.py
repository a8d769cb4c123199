"""WebSockets through the gateway: what passes, how many, for how long, and how they end."""

import asyncio
import resource
import socket
import time
from base64 import b64encode
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha1
from itertools import accumulate, pairwise
from threading import Thread

import pytest
import websocket
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarding import tunnel
from forwarding.websocket_frames import FrameLimit, FrameParser

pytestmark = pytest.mark.processes

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: shop\r\n"
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
HELLO = b"\x81\x05hello"
GOING_AWAY = b"\x88\x02\x03\xe9"
MEGABYTE = 1024 * 1024
SOCKETS = 1000
EVERYWHERE = pytest.mark.parametrize("gateway", ["gevent", "threads", "development"], indirect=True)


@pytest.fixture(scope="module")
def many_files():
    """Sockets are files, and this process has both ends of each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * SOCKETS:
        pytest.skip(f"a process may open only {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * SOCKETS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Chatty(asyncio.Protocol):
    """A service that greets on WebSockets and says back what comes; any other request is answered with `ok`."""

    handshakes = 0

    def connection_made(self, transport):
        self._transport = transport
        self._is_open = False
        self._head = b""

    def data_received(self, data):
        if self._is_open:
            self._transport.write(data)
            return
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        head, self._head = self._head, b""
        if b"upgrade: websocket" in head.lower():
            Chatty.handshakes += 1
            # Others may come meanwhile.
            asyncio.get_running_loop().call_later(0.05, self._agree, head)
        else:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def _agree(self, head):
        self._is_open = True
        key = head.partition(b"Sec-Websocket-Key: ")[2].partition(b"\r\n")[0]
        accept = b64encode(sha1(key + GUID, usedforsecurity=False).digest())
        self._transport.write(AGREED + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + HELLO)


@pytest.fixture(scope="module")
def chatty():
    """The address of one service that holds as many connections as anybody wants."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Chatty, "127.0.0.1", 0, backlog=SOCKETS))
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(asyncio.sleep(0.1))  # the connections that have just been lost
    loop.close()


class Service:
    """A service in the hands of the test: `accept()` is its end of the next WebSocket."""

    def __init__(self, listening):
        self._listening = listening
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def accept(self, answer=AGREED + b"\r\n"):
        connection, _ = self._listening.accept()
        connection.settimeout(10)
        _receive_until(connection, b"\r\n\r\n")
        connection.sendall(answer)
        return connection


@pytest.fixture(scope="module")
def service():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield Service(listening)


@pytest.fixture(scope="module")
def gateway(start, service, request):
    """One that no test may stop."""
    with start(request.param, SUPPORT_SERVICE_URL=service.url) as gateway:
        yield gateway


@contextmanager
def _open(gateway, service):
    """Both ends of a WebSocket: the client's and the service's."""
    with gateway.socket() as client:
        client.sendall(HANDSHAKE)
        with service.accept() as far_end:
            assert _receive_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            yield client, far_end


def _receive_until(connection, end):
    received = b""
    while not received.endswith(end):
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def _receive_exactly(connection, length):
    received = bytearray()
    while len(received) < length and (data := connection.recv(65536)):
        received += data
    return bytes(received)


def _write_until_held_back(connection):
    """Fill the buffers of all sockets on the way; returns how much that was."""
    connection.settimeout(0.5)
    sent = 0
    with suppress(TimeoutError):
        while sent < 100 * MEGABYTE:
            sent += connection.send(_frame(0x82, 65000))
    return sent


def _open_many(gateway, number):
    """WebSockets that have heard the greeting, and the connections that were told to try again."""
    clients = [gateway.socket() for _ in range(number)]
    for client in clients:
        client.sendall(HANDSHAKE)
    told = {b"HTTP/1.1 101": [], b"HTTP/1.1 503": []}
    for client in clients:
        told[client.recv(12)].append(client)
    opened, refused = told.values()
    for client in opened:
        _receive_until(client, HELLO)
    return opened, refused


def _frame(opcode, length):
    """A frame as servers send them."""
    if length < 126:
        head = bytes([opcode, length])
    elif length < 65536:
        head = bytes([opcode, 126]) + length.to_bytes(2)
    else:
        head = bytes([opcode, 127]) + length.to_bytes(8)
    return head + b"\x88" * length


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            _frame,
            st.sampled_from([0x01, 0x00, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A]),  # fragments, messages, control frames
            st.integers(0, 300) | st.sampled_from([65534, 65535, 65536, 70000]),
        ),
        max_size=5,
    ),
    st.data(),
)
def test_a_frame_can_be_put_in_exactly_between_two_others_however_the_bytes_arrive(stream, data):
    frames = FrameParser()
    boundaries = {0, *accumulate(map(len, stream))}
    whole = b"".join(stream)
    near = [end + by for end in boundaries for by in range(-12, 13) if 0 <= end + by <= len(whole)]
    cuts = sorted(data.draw(st.sets(st.sampled_from(near) | st.integers(0, len(whole)))) | {0, len(whole)})

    for begin, end in pairwise(cuts):
        frames.feed(whole[begin:end])

        assert frames.is_between_frames == (end in boundaries)


def test_a_stream_that_arrives_by_single_bytes_is_followed_too():
    frames, stream = FrameParser(), [_frame(0x81, 5), _frame(0x82, 300), _frame(0x82, 65536)]
    boundaries = set(accumulate(map(len, stream)))

    for end, byte in enumerate(b"".join(stream), start=1):
        frames.feed(bytes([byte]))

        assert frames.is_between_frames == (end in boundaries)


def test_what_dribbles_is_gathered_the_longer_the_longer_it_goes_on():
    limit, long = FrameLimit(), b"\x81\xfe\xff\x00" + b"x" * 65284
    waits = [limit.feed(long[at : at + 1]) for at in range(20)]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.005, 1.0)
    assert limit.feed(long[20:10_000]) == 0
    assert limit.feed(long[10_000:10_001]) == 0.005
    assert limit.feed(long[10_001:]) == 0


def test_short_frames_are_passed_on_at_once():
    limit = FrameLimit()

    assert [limit.feed(b"\x81\x85mask12345") for _ in range(10)] == [0] * 10


@EVERYWHERE
def test_a_websocket_passes_bytes_both_ways_untouched(gateway, service):
    everything = b"\x82\x7f" + (65536).to_bytes(8) + bytes(range(256)) * 256
    with gateway.socket() as client:
        client.sendall(HANDSHAKE)
        with service.accept(AGREED + b"\r\nin the same breath") as far_end:
            opening = _receive_until(client, b"in the same breath")
            for one, other in ((client, far_end), (far_end, client)):
                one.sendall(everything)
                assert _receive_exactly(other, len(everything)) == everything

    assert opening.startswith(b"HTTP/1.1 101 ")
    assert b"upgrade: websocket" in opening.lower()
    assert b"X-Request-ID: " in opening


@EVERYWHERE
def test_a_client_that_leaves_ends_it_for_the_service(gateway, service):
    with _open(gateway, service) as (client, far_end):
        client.sendall(HELLO)
        client.close()

        assert _receive_exactly(far_end, 1000) == HELLO


@EVERYWHERE
def test_a_service_that_dies_ends_it_for_the_client(gateway, service):
    with _open(gateway, service) as (client, far_end):
        far_end.sendall(HELLO[:4])
        far_end.close()

        assert _receive_exactly(client, 1000) == HELLO[:4]


@EVERYWHERE
def test_an_open_websocket_leaves_requests_alone(gateway, service, upstream):
    with _open(gateway, service):
        assert gateway.ask("GET", "/cart").status == 200


@EVERYWHERE
def test_asking_for_a_websocket_does_not_open_a_way_around_the_gateway(gateway, service, upgrade):
    connection = gateway.connect()
    connection.request("GET", "/socket.io/", headers=upgrade)
    service.accept(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").close()
    answer = connection.getresponse()
    answer.read()
    next_answer = connection.ask("GET", "/internal/secrets")
    connection.close()

    assert (answer.status, next_answer.status) == (200, 404)


@EVERYWHERE
@pytest.mark.parametrize("writer", ["client", "service"])
def test_who_does_not_read_holds_back_who_writes(gateway, service, writer):
    with _open(gateway, service) as ends:
        sender, reader = ends if writer == "client" else reversed(ends)
        sent = _write_until_held_back(sender)

        assert sent < 100 * MEGABYTE
        assert len(_receive_exactly(reader, sent)) == sent


TOO_LONG, TOO_LONG_BY_FAR = _frame(0x82, 65_551), b"\x81\xff" + (2**40).to_bytes(8) + bytes(4)
TOO_MANY = _frame(0x8A, 0) * 2000


@EVERYWHERE
@pytest.mark.parametrize(
    ("frames", "status"),
    [(TOO_LONG, 1009), (TOO_LONG_BY_FAR, 1009), (TOO_MANY, 1008)],
    ids=["too long", "too long by far", "too many"],
)
def test_frames_that_are_too_long_or_too_many_end_it_with_a_reason(gateway, service, frames, status):
    with _open(gateway, service) as (client, far_end):
        client.sendall(HELLO)
        assert _receive_exactly(far_end, len(HELLO)) == HELLO
        client.sendall(frames)

        assert _receive_exactly(client, 1000)[2:4] == status.to_bytes(2)
        assert _receive_exactly(far_end, 1) == b""


@EVERYWHERE
@pytest.mark.parametrize(
    ("method", "wrong", "status"),
    [
        ("GET", {"Sec-WebSocket-Key": None}, 400),
        ("GET", {"Sec-WebSocket-Key": "short"}, 400),
        ("GET", {"Connection": "keep-alive"}, 400),
        ("POST", {}, 400),
        ("GET", {"Sec-WebSocket-Version": "8"}, 426),
        ("GET", {"Sec-WebSocket-Version": None}, 426),
    ],
)
def test_a_malformed_handshake_is_refused_and_no_service_hears_of_it(gateway, upgrade, method, wrong, status):
    sent = {name: text for name, text in {**upgrade, **wrong}.items() if text}
    answer = gateway.ask(method, "/socket.io/?EIO=4&transport=websocket", headers=sent)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.headers["Sec-WebSocket-Version"] == ("13" if status == 426 else None)


def test_one_address_has_so_many_sockets_and_no_more_and_gets_a_place_back(start, upstream, chatty, upgrade):
    with start(SUPPORT_SERVICE_URL=chatty, MAX_SOCKETS_PER_ADDRESS=3) as gateway, ExitStack() as until_here:
        opened = [until_here.enter_context(gateway.socket()) for _ in range(3)]
        for client in opened:
            client.sendall(HANDSHAKE)
            _receive_until(client, HELLO)
        refused = gateway.ask("GET", "/socket.io/?EIO=4&transport=websocket", headers=upgrade)
        opened[0].shutdown(socket.SHUT_RDWR)

        assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
        _wait_until_let_in(gateway)


def _wait_until_let_in(gateway):
    for _ in range(100):
        with gateway.socket() as client:
            client.sendall(HANDSHAKE)
            if client.recv(12) == b"HTTP/1.1 101":
                return
        time.sleep(0.05)
    raise AssertionError("there is no place")


@pytest.mark.parametrize("silent", ["both", "client"])
def test_who_says_nothing_for_long_is_cut_off(start, service, monkeypatch, silent):
    monkeypatch.setattr(tunnel, "IDLE_SECONDS", 0.3)
    with (
        start("development", SUPPORT_SERVICE_URL=service.url) as gateway,
        _open(gateway, service) as (client, far_end),
    ):
        if silent == "client":
            Thread(target=_talk_until_told_to_stop, args=(far_end,)).start()

        client.settimeout(5)
        while client.recv(65536):
            pass


def _talk_until_told_to_stop(service):
    service.settimeout(0.05)
    while True:
        try:
            if service.recv(65536) == b"":
                service.shutdown(socket.SHUT_RDWR)
                return
        except TimeoutError:
            service.sendall(HELLO)


def test_who_is_heard_now_and_then_stays_connected(start, service, monkeypatch):
    monkeypatch.setattr(tunnel, "IDLE_SECONDS", 0.4)
    with (
        start("development", SUPPORT_SERVICE_URL=service.url) as gateway,
        _open(gateway, service) as (client, far_end),
    ):
        for _ in range(8):
            time.sleep(0.1)
            for one, other in ((client, far_end), (far_end, client)):
                one.sendall(HELLO)
                assert _receive_exactly(other, len(HELLO)) == HELLO


def test_there_are_never_more_sockets_than_there_may_be_however_many_are_asked_for_at_once(start, upstream, chatty):
    before = Chatty.handshakes
    with start(SUPPORT_SERVICE_URL=chatty, MAX_SOCKETS=7) as gateway, ExitStack() as until_here:
        opened, refused = _open_many(gateway, 60)
        for each in opened + refused:
            until_here.enter_context(each)

    assert (len(opened), Chatty.handshakes - before) == (7, 7)


def test_a_place_is_free_again_when_a_socket_ends_or_never_comes_about(start, service):
    with start(SUPPORT_SERVICE_URL=service.url, MAX_SOCKETS=1) as gateway:
        for _ in range(3):
            with gateway.socket() as client:
                client.sendall(HANDSHAKE)
                service.accept(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").close()
                assert client.recv(12) == b"HTTP/1.1 400"
        for _ in range(3):
            with _open(gateway, service) as (client, far_end):
                client.close()
                assert far_end.recv(1) == b""
                far_end.close()
                time.sleep(0.2)


def test_a_stop_waits_for_the_end_of_a_frame_that_is_half_way(start, service):
    with (
        start(SUPPORT_SERVICE_URL=service.url) as gateway,
        _open(gateway, service) as (client, far_end),
    ):
        far_end.sendall(HELLO + HELLO[:3])
        received = _receive_exactly(client, 10)
        gateway.process.terminate()
        time.sleep(0.3)
        far_end.sendall(HELLO[3:])

        assert received + _receive_exactly(client, 1000) == HELLO + HELLO + GOING_AWAY


def test_a_frame_that_never_ends_does_not_hold_up_a_stop(start, service):
    with (
        start(SUPPORT_SERVICE_URL=service.url) as gateway,
        _open(gateway, service) as (client, far_end),
    ):
        far_end.sendall(HELLO[:3])
        received = _receive_exactly(client, 3)

        assert gateway.seconds_to_stop() < 5
        assert received + _receive_exactly(client, 1000) == HELLO[:3]


def test_who_does_not_read_does_not_hold_up_a_stop(start, service):
    with (
        start(SUPPORT_SERVICE_URL=service.url) as gateway,
        _open(gateway, service) as (_, far_end),
    ):
        _write_until_held_back(far_end)

        assert gateway.seconds_to_stop() < 5


def test_a_client_reads_in_the_close_frame_that_the_server_goes_away(start, upstream, chatty):
    with start(SUPPORT_SERVICE_URL=chatty) as gateway:
        client = websocket.create_connection("ws://{}:{}/socket.io/?EIO=4&transport=websocket".format(*gateway.address))
        greeting = client.recv()
        gateway.process.terminate()
        opcode, said = client.recv_data(control_frame=True)
        client.shutdown()

        assert (greeting, opcode, said) == ("hello", websocket.ABNF.OPCODE_CLOSE, GOING_AWAY[2:])
        assert gateway.process.wait(5) == 0


@pytest.mark.usefixtures("many_files")
def test_a_thousand_idle_sockets_leave_requests_alone_and_do_not_hold_up_a_stop(start, upstream, chatty):
    # As behind a proxy, which may have more connections than a single address.
    with (
        start(SUPPORT_SERVICE_URL=chatty, TRUSTED_PROXIES=1, MAX_SOCKETS_PER_ADDRESS=SOCKETS) as gateway,
        ExitStack() as until_here,
    ):
        connection = gateway.connect()
        connection.ask("GET", "/cart")
        before = gateway.worker_megabytes()
        opened = []
        for _ in range(SOCKETS // 50):
            opened += [until_here.enter_context(each) for each in _open_many(gateway, 50)[0]]

        statuses = [connection.ask("GET", "/cart").status for _ in range(200)]
        connection.close()
        for client in opened:
            client.sendall(HELLO)
        echoes = {_receive_exactly(client, len(HELLO)) for client in opened}
        grown = gateway.worker_megabytes() - before
        seconds = gateway.seconds_to_stop()
        farewells = {_receive_exactly(client, 1000) for client in opened}

    assert (len(opened), set(statuses)) == (SOCKETS, {200})
    assert (echoes, farewells) == ({HELLO}, {GOING_AWAY})
    assert grown < 80
    assert seconds < 5
