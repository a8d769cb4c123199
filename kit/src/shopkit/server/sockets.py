"""What servers and clients under gevent do with sockets alike."""

import socket

MOST_UNSENT = 64 * 1024  # bytes
# Else the system keeps megabytes for whoever reads slowly, and has little such memory for all connections together.
MODEST = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)

_TCP_CLOSE = 7  # Linux's tcp_states.h


def send_all(sock: socket.socket, data: bytes | memoryview) -> None:
    """As `sendall`, but mostly in one call: that of gevent asks for the size of the buffer first."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


def was_reset(sock: socket.socket) -> bool:
    """Whether the other side has reset a connection; who has only finished sending still waits for an answer."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
