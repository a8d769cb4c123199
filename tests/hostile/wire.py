"""HTTP/1.1 and WebSockets byte by byte: what an attacker sends is not what a library would let through."""

import base64
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

SECONDS = 10.0  # that one read or write may take
MOST_READ = 16 * 1024 * 1024

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int, source: str, seconds: float = SECONDS, receive_buffer: int = 0) -> socket.socket:
    """A connection to this machine that seems to come from another one.

    :param source: an address of the loopback network, 127.0.0.0/8.
    :param receive_buffer: bytes that the kernel takes before the client reads; 0 for as many as usual.
    """
    client = socket.socket()
    try:
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Else the system would give a port to the address alone, and run out of ports.
        client.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        client.bind((source, 0))
        client.settimeout(seconds)
        client.connect(("127.0.0.1", port))
    except BaseException:
        client.close()
        raise
    return client


def request(
    method: str, target: str, body: object = None, token: str = "", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request as its bytes.

    :param body: bytes as they are, anything else as JSON, None for no body.
    """
    fields = {"Host": "localhost", **(headers or {})}
    if token:
        fields["Authorization"] = f"Bearer {token}"
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **fields}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


class Reader:
    """Reads answers off a connection, one after the other."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._there = bytearray()

    def answer(self, method: str = "GET") -> Response:
        """:raise ConnectionError: the connection ends before the answer does."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if method == "HEAD" or status in (101, 204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, b"".join(self._chunks()))
        return Response(status, headers, self.exactly(int(headers.get("content-length", 0))))

    def exactly(self, size: int) -> bytes:
        while len(self._there) < size:
            self._more()
        data = bytes(self._there[:size])
        del self._there[:size]
        return data

    def _until(self, end: bytes) -> bytes:
        while (at := self._there.find(end)) < 0:
            self._more()
        return self.exactly(at + len(end))[: -len(end)]

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self.exactly(size)
            self._until(b"\r\n")
        self._until(b"\r\n")

    def _more(self) -> None:
        data = self._client.recv(65536)
        if not data or len(self._there) > MOST_READ:
            raise ConnectionResetError("the answer broke off")
        self._there += data


def ask(client: socket.socket, data: bytes, method: str = "GET") -> Response:
    client.sendall(data)
    return Reader(client).answer(method)


def frame(payload: bytes, opcode: int = TEXT, is_final: bool = True, is_deflated: bool = False) -> bytes:
    """A frame as clients send it (RFC 6455, section 5.2); its mask is all zeros, which spares the masking."""
    first = opcode | (0x80 if is_final else 0) | (0x40 if is_deflated else 0)
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0x80 | 126]) + size.to_bytes(2)
    else:
        head = bytes([first, 0x80 | 127]) + size.to_bytes(8)
    return head + bytes(4) + payload


def handshake(target: str = "/socket.io/?EIO=4&transport=websocket", **headers: str) -> bytes:
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return request("GET", target, headers=fields)


class WebSocket:
    """A WebSocket to the chat, as Socket.IO uses it: `say` and `hear` are packets of Engine.IO."""

    def __init__(self, client: socket.socket, **headers: str) -> None:
        """:raise ConnectionRefusedError: the answer is not 101; the message is its status."""
        self.client = client
        self._reader = Reader(client)
        client.sendall(handshake(**headers))
        answer = self._reader.answer()
        if answer.status != 101:
            raise ConnectionRefusedError(str(answer.status))
        self.hear()  # the packet that opens the session

    def sign_in(self, token: str) -> Self:
        self.say("40" + json.dumps({"token": token}))
        while not (said := self.hear()).startswith("40"):
            if said.startswith("44"):
                raise ConnectionRefusedError(said)
        return self

    def emit(self, event: str, body: object, number: int) -> None:
        self.say(f"42{number}" + json.dumps([event, body]))

    def acknowledgement(self, number: int) -> object:
        """Wait for that of an event; whatever else comes meanwhile is not kept, but pings are answered."""
        while not (said := self.hear()).startswith(f"43{number}["):
            pass
        return json.loads(said.removeprefix(f"43{number}"))[0]

    def say(self, packet: str) -> None:
        self.client.sendall(frame(packet.encode()))

    def hear(self) -> str:
        """The next packet.

        :raise ConnectionError: the server has closed the socket.
        """
        while True:
            first, size = self._reader.exactly(2)
            if size > 125:
                size = int.from_bytes(self._reader.exactly(2 if size == 126 else 8))
            said = self._reader.exactly(size)
            if first & 0x0F == CLOSE:
                raise ConnectionResetError("the server has closed the socket")
            if said == b"2":
                self.say("3")
            elif first & 0x0F == TEXT:
                return said.decode()
