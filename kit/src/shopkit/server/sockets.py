"""What servers and clients under gevent do with sockets alike."""

import socket


def send_all(sock: socket.socket, data: bytes | memoryview) -> None:
    """As `sendall`, but mostly in one call: that of gevent asks for the size of the buffer first."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])
