import socket
import struct

import pytest

from shopkit.server.sockets import was_reset


@pytest.fixture
def connection():
    """Both ends of a connection, the client's first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


def _reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_only_who_has_reset_a_connection_waits_for_no_answer(connection):
    client, server = connection
    assert not was_reset(server)

    client.sendall(b"all that it asks")
    client.shutdown(socket.SHUT_WR)
    assert not was_reset(server)

    _reset(client)
    assert was_reset(server)
