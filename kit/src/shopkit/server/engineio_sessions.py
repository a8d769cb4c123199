"""Engine.IO's sessions, within bounds: what a client sends is heard at the pace it is handled, or the session ends.

Engine.IO itself reads on whatever happens, reads JSON of any depth, compresses WebSockets, keeps whatever a client does
not fetch, and answers 200 to a polling client whose packets it throws away.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import engineio.socket
from engineio.exceptions import EngineIOError, SocketIsClosedError
from engineio.packet import CLOSE, MESSAGE, NOOP, PING, PONG, UPGRADE, Packet

from shopkit.server import handshakes
from shopkit.server.websockets import MAX_MESSAGE_BYTES, Status, Violation, WebSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger("shop.chat")

MAX_BYTES = MAX_MESSAGE_BYTES  # `maxPayload` of the protocol: of a POST, and of a message over a WebSocket
MOST_PACKETS = 200  # of a POST
MOST_TO_PYTHON = 16  # packets in one answer: python-engineio's client takes no more
END = "\x1e"  # between two packets
# Packets that a client has not fetched: from so many on it is not heard, and with so many its session ends.
HOLD_BACK_AT, MOST_WAITING = 100, 1000
PATIENCE_SECONDS = 20.0  # for which a client is held back in one go; a gateway waits longer for the answer to a POST
POLL_SECONDS = 27.0  # until a poll is answered: longer than pings are apart, and shorter than a gateway waits
LOOK_AGAIN_SECONDS = 0.05


class Unreadable(EngineIOError):
    """What a client has sent makes no sense."""


class Flood(EngineIOError):
    """A client says more than it may, on and on."""


class Session(engineio.socket.Socket):
    """A session; its engine has an `attendance`."""

    connected: bool
    last_ping: float | None  # when one was sent that is not answered yet
    _held_back = 0.0  # seconds, since it last was in time
    _ping_at = math.inf  # by the monotonic clock
    _is_polling = _is_posting = False
    _last_word = (Status.NORMAL, "")
    _moving_to: WebSocket | None = None

    def end(self, status: Status, reason: str) -> None:
        """End the session at once. Over a WebSocket the client is told why; polling, it finds no session any more."""
        if self.closed or self.closing:
            return
        logger.info("a session ends: %s", reason)
        self._last_word = (status, reason)
        self.server.sockets.pop(self.sid, None)
        self.close(wait=False)

    def schedule_ping(self) -> None:
        """Engine.IO would have a thread of its own wait for each ping, and outlive the session by as long."""
        if self.last_ping:
            self.last_ping = None
            self._ping_at = time.monotonic() + self.server.ping_interval

    def ping_when_due(self) -> None:
        if time.monotonic() >= self._ping_at and not self.closed:
            self._ping_at, self.last_ping = math.inf, time.time()
            self.send(Packet(PING))

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        super().close(wait, abort, reason)
        if self._moving_to:  # nothing else would end a WebSocket to which the session has not moved yet
            self._moving_to.close(*self._last_word)

    def send(self, packet: Packet) -> None:
        if self.queue.qsize() >= MOST_WAITING and not self.closing:
            self.end(Status.POLICY, "it does not fetch what it is sent")
        else:
            super().send(packet)

    def receive(self, packet: Packet) -> None:
        try:
            if packet.packet_type == MESSAGE:
                self.server.handlers["message"](self.sid, packet.data)
            else:
                super().receive(packet)
        except EngineIOError:
            raise
        except Exception as error:
            raise _unreadable(error) from error

    def poll(self) -> list[Packet]:
        """Wait for what is to be sent; nothing at all is the end of the session."""
        packets: list[Packet] = []
        with suppress(self.server.get_queue_empty_exception()):
            while len(packets) < MOST_TO_PYTHON:
                packet = self.queue.get(block=not packets, timeout=POLL_SECONDS)
                self.queue.task_done()
                if packet is None:
                    self.queue.put(None)  # for who polls next
                    return packets
                packets.append(packet)
        return packets or [Packet(NOOP)]

    def handle_get_request(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        if handshakes.asks_for_websocket(environ):
            return super().handle_get_request(environ, start_response)
        with self._alone("_is_polling"):
            return super().handle_get_request(environ, start_response)

    def handle_post_request(self, environ: "WSGIEnvironment") -> None:
        """:raise EngineIOError: the body is none of packets, or there is another POST at the same time."""
        with self._alone("_is_posting"):
            packets = _body(environ).split(END)
            if len(packets) > MOST_PACKETS:
                raise Unreadable(f"more than {MOST_PACKETS} packets")
            patience = PATIENCE_SECONDS
            for each in packets:
                patience -= self._hold_back()
                if patience < 0:
                    raise Flood
                self.receive(read_packet(each))

    @contextmanager
    def _alone(self, flag: str) -> Iterator[None]:
        """A client polls, and posts, one request at a time."""
        if getattr(self, flag):
            raise Unreadable("two requests at once")
        setattr(self, flag, True)
        try:
            yield
        finally:
            setattr(self, flag, False)

    def _hold_back(self) -> float:
        """Wait until a client may be heard, and say how many seconds that was.

        :raise Flood: it goes on being too fast, or does not fetch its answers.
        :raise SocketIsClosedError: the session has ended meanwhile.
        """
        delay: float = self.server.attendance.delay(self.sid)
        self._held_back = self._held_back + delay if delay else 0.0
        if self._held_back > PATIENCE_SECONDS:
            raise Flood("it says more than it may")
        if delay:
            self.server.sleep(delay)
        waited = delay
        while self.queue.qsize() > HOLD_BACK_AT and not self.closed:
            if waited > PATIENCE_SECONDS:
                raise Flood("it does not fetch its answers")
            self.server.sleep(LOOK_AGAIN_SECONDS)
            waited += LOOK_AGAIN_SECONDS
        if self.closed:
            raise SocketIsClosedError
        return waited

    def _upgrade_websocket(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        if self.upgraded or self.upgrading:
            return self.server._bad_request("This session has its WebSocket already.")
        sock = handshakes.agree(environ)
        seconds = self.server.ping_interval + self.server.ping_timeout
        self._serve(WebSocket(sock, self.server.max_http_buffer_size, seconds, self._before_frame))
        return handshakes.hang_up(environ)

    def _before_frame(self) -> None:
        try:
            self._hold_back()
        except EngineIOError as error:
            raise Violation(Status.POLICY, str(error)) from None

    def _serve(self, web_socket: WebSocket) -> None:
        """All that comes over a WebSocket; if a session is to move to it, once that was agreed on."""
        if self.connected and not self._has_moved_to(web_socket):
            web_socket.close(Status.PROTOCOL_ERROR, "that is not how to upgrade")
            return
        self.connected = self.upgraded = True
        writer = self.server.start_background_task(self._write, web_socket)
        try:
            for text in iter(web_socket.receive, None):
                self.receive(read_packet(text))
        except SocketIsClosedError:
            pass  # whoever ended it says why
        except EngineIOError:
            web_socket.close(Status.INVALID_DATA, "this is not Engine.IO and Socket.IO")
        finally:
            self.queue.put(None)
            writer.join()
            self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
            self.server.sockets.pop(self.sid, None)

    def _has_moved_to(self, web_socket: WebSocket) -> bool:
        self.upgrading, self._moving_to = True, web_socket
        try:
            if web_socket.receive() != f"{PING}probe":
                return False
            web_socket.send(f"{PONG}probe")
            self.queue.put(Packet(NOOP))  # ends the poll
            return web_socket.receive() == str(UPGRADE)
        except OSError:
            return False
        finally:
            self.upgrading, self._moving_to = False, None

    def _write(self, web_socket: WebSocket) -> None:
        with suppress(OSError):
            while packets := self.poll():
                for each in packets:
                    if each.packet_type != NOOP:
                        web_socket.send(each.encode())
        web_socket.close(*self._last_word)


def read_packet(text: str) -> Packet:
    """Read a packet as clients send them; unlike Engine.IO, without looking for JSON in what is Socket.IO's.

    :raise Unreadable: it is none that a client may send.
    """
    kind = int(text[0]) if text[:1] in {"1", "3", "4", "5"} else None
    if kind is None or (kind in {CLOSE, UPGRADE} and len(text) > 1):
        raise Unreadable("no packet")
    return Packet(kind, text[1:])


def _body(environ: "WSGIEnvironment") -> str:
    """:raise EngineIOError: it is too long, or no text."""
    length = MAX_BYTES + 1
    if "HTTP_TRANSFER_ENCODING" not in environ:
        announced = environ.get("CONTENT_LENGTH") or "0"
        length = int(announced) if announced.isdecimal() and len(announced) < 10 else length
    if length <= MAX_BYTES or "HTTP_TRANSFER_ENCODING" in environ:
        body = environ["wsgi.input"].read(length)
        if len(body) <= MAX_BYTES:
            try:
                return str(body, "utf-8")
            except UnicodeDecodeError as error:
                raise _unreadable(error) from None
    raise Unreadable(f"more than {MAX_BYTES} bytes")


def _unreadable(error: Exception) -> EngineIOError:
    logger.warning("a session ends, as what it sent cannot be read (%s)", type(error).__name__)
    return Unreadable(str(error))


def install() -> None:
    """Have every engine of this process make such sessions."""
    engineio.socket.Socket = Session
