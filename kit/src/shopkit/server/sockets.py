"""What servers and clients under gevent do with sockets alike."""

import socket

MOST_UNSENT = 64 * 1024  # bytes
# Else the system keeps megabytes for whoever reads slowly, and has little such memory for all connections together.
MODEST = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)


def send_all(sock: socket.socket, data: bytes | memoryview) -> None:
    """As `sendall`, but mostly in one call: that of gevent asks for the size of the buffer first."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])
