"""What a service answers, and what the client is told."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import responses
from wsgiref.types import StartResponse, WSGIEnvironment

from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from forwarding.headers import Headers
from forwarding.spool import CHUNK
from forwarding.upstreams import Slot
from limits.concurrency import Permit
from shopkit.server.transport import break_off


class HangUp(ConnectionResetError):
    """Ends the client's connection. To the server it looks as if the client had gone, so it adds nothing."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the connection has served its purpose")


@dataclass(slots=True)
class UpstreamResponse:
    """What a service answers, its body still to be read; it holds its slot there until it is closed."""

    service: str
    raw: HTTPResponse
    slot: Slot
    permit: Permit | None
    is_broken_off: bool = False

    def read(self) -> bytes:
        """Some more of the body, as soon as it is there; nothing at its end.

        :raise HTTPError: it breaks off.
        """
        try:
            return self.raw.read1(CHUNK)
        except HTTPError:
            if not self.is_broken_off:
                self.slot.failed()
            raise

    def break_off(self) -> None:
        self.is_broken_off = True
        break_off(self.raw)

    def close(self) -> None:
        self.raw.close()  # which breaks off what is not read to its end
        self.slot.release()
        if self.permit:
            self.permit.release()


@dataclass(slots=True)
class Response:
    """What the client is told."""

    status: int
    headers: Headers
    body: Iterable[bytes]
    reason: str = ""

    def start(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(f"{self.status} {self.reason or responses.get(self.status, 'Unknown')}", self.headers)
        return self.body
