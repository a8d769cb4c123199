"""What clients send over Engine.IO: all of it is heard, or the session ends with an error.

Engine.IO itself answers 200 to a polling client whose packets it throws away, and ignores what Socket.IO cannot read.
"""

import io
import logging
from typing import TYPE_CHECKING, Any

import engineio.socket
from engineio.exceptions import EngineIOError, SocketIsClosedError
from engineio.packet import MESSAGE
from engineio.payload import Payload

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("shop.chat")

MAX_BYTES = 64 * 1024  # `maxPayload` of the protocol: of a POST, and of a frame
MOST_TO_PYTHON = 16  # packets in one answer: python-engineio's client takes no more


class Session(engineio.socket.Socket):
    def handle_post_request(self, environ: "WSGIEnvironment") -> None:
        if "HTTP_TRANSFER_ENCODING" in environ:  # Engine.IO would take the length for 0
            body = environ["wsgi.input"].read(MAX_BYTES + 1)
            environ = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        try:
            super().handle_post_request(environ)
        except EngineIOError:
            raise
        except Exception as error:
            raise _unreadable(error) from error

    def receive(self, packet: Any) -> None:
        try:
            if packet.packet_type == MESSAGE:
                self.server.handlers["message"](self.sid, packet.data)
            else:
                super().receive(packet)
        except SocketIsClosedError:
            raise
        except Exception as error:
            raise _unreadable(error) from error

    def poll(self) -> list[Any]:
        packets = self._left or super().poll()
        self._left = packets[MOST_TO_PYTHON:]
        return packets[:MOST_TO_PYTHON]

    _left: list[Any] = []


def _unreadable(error: Exception) -> EngineIOError:
    logger.warning("a session ends, as what it sent cannot be read (%s)", type(error).__name__)
    return EngineIOError("unreadable")


Payload.max_decode_packets = MAX_BYTES  # each has a byte at least, so that the size alone is what counts
engineio.socket.Socket = Session
