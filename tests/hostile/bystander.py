"""Another customer, who shops on while the shop is under attack, and remembers how that went."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from threading import Event, Lock, Thread
from typing import NamedTuple

from hostile.wire import Reader, WebSocket, connect, request

ADDRESS = "127.0.0.9"
PATIENCE = 3.0  # seconds: nobody waits longer for an answer
GIVES_UP = 20.0
PAUSE = 0.15  # of each of the customer's tabs, from an answer to the next request
BROKEN = 0  # the status of what has none

# Two tabs look around, and one is busy with what belongs to whoever is signed in.
LOOKS = ("/products", "/products/1", "/search?q=lamp", "/categories", "/products?min_price=10&sort=price")
OWN = ("/cart", "/orders", "/profile", "/tickets", "/favorites", "/tickets/{ticket}", "/products/2/reviews")


class Seen(NamedTuple):
    """How one request went; `what` was asked for, and `when` by the monotonic clock."""

    what: str
    status: int
    seconds: float
    when: float
    trace: str


@dataclass
class Account:
    """Of the customer: the token to ask with, and a ticket of theirs."""

    token: str
    ticket: int


@dataclass
class Bystander:
    """Shops in several tabs from `start` to `stop`."""

    port: int
    account: Account
    seen: list[Seen] = field(default_factory=list)
    _over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _tabs: list[Thread] = field(default_factory=list)

    def start(self) -> None:
        """Open the tabs; returns when each of them has been answered once."""
        acts = (self._look, self._look, self._use_what_is_own, self._change, self._come_anew, self._chat)
        self._tabs = [Thread(target=act, daemon=True) for act in acts]
        for tab in self._tabs:
            tab.start()

    def stop(self) -> list[Seen]:
        """Close the tabs, wait for the last answers, and return how all of it went."""
        self._over.set()
        for tab in self._tabs:
            tab.join(GIVES_UP + 5)
        return list(self.seen)

    def _look(self) -> None:
        self._keep_asking(request("GET", path) for path in cycle(LOOKS))

    def _use_what_is_own(self) -> None:
        paths = (path.format(ticket=self.account.ticket) for path in cycle(OWN))
        self._keep_asking(request("GET", path, token=self.account.token) for path in paths)

    def _change(self) -> None:
        """Write what can be written over and over without piling up."""
        profile = {"first_name": "A", "last_name": "Bystander", "city": "Testville"}
        wanted = (("PUT", "/profile", profile), ("POST", "/cart/items", {"product_id": 3, "quantity": 1}))
        wanted += (("DELETE", "/cart", None), ("POST", "/favorites", {"product_id": 2}))
        self._keep_asking((request(*each, token=self.account.token) for each in cycle(wanted)), pause=2 * PAUSE)

    def _come_anew(self) -> None:
        """A connection for each request, as of somebody who has just found the shop."""
        for path in cycle(LOOKS):
            if self._over.wait(2 * PAUSE):
                return
            with _Line(self.port) as line:
                self._record(f"GET {path} anew", lambda path=path: line.ask(request("GET", path)))

    def _keep_asking(self, requests: Iterator[bytes], pause: float = PAUSE) -> None:
        with _Line(self.port) as line:
            for data in requests:
                if self._over.wait(pause):
                    return
                what = b" ".join(data.split(maxsplit=2)[:2]).decode()
                self._record(what, lambda data=data: line.ask(data))

    def _chat(self) -> None:
        """Join the chat again and again; a socket that breaks is a failure, and is opened anew."""
        while not self._over.wait(PAUSE):
            with suppress(OSError), connect(self.port, ADDRESS, GIVES_UP) as client:
                opened: list[WebSocket] = []
                self._record("chat opens", lambda c=client, o=opened: self._open_chat(c, o))
                for number in count() if opened else ():
                    if self._over.wait(3 * PAUSE):
                        return
                    self._record("chat", lambda n=number, o=opened: self._join(o[0], n))
                    if self.seen[-1].what == "chat" and self.seen[-1].status == BROKEN:
                        break

    def _open_chat(self, client: socket.socket, opened: list[WebSocket]) -> tuple[int, str]:
        try:
            opened.append(WebSocket(client).sign_in(self.account.token))
        except ConnectionRefusedError as error:
            status = str(error)
            return (int(status) if status.isdecimal() else BROKEN), status
        return 101, ""

    def _join(self, chat: WebSocket, number: int) -> tuple[int, str]:
        chat.emit("join_chat", {"ticket_id": self.account.ticket}, number)
        said = chat.acknowledgement(number)
        return (200, "") if said.get("ok") else (said["status"], json.dumps(said))

    def _record(self, what: str, ask: Callable[[], tuple[int, str]]) -> None:
        begin = time.monotonic()
        try:
            status, trace = ask()
        except OSError as error:
            status, trace = BROKEN, f"{type(error).__name__}: {error}"
        with self._lock:
            self.seen.append(Seen(what, status, time.monotonic() - begin, begin, trace))


class _Line:
    """A connection as browsers use it: one that was closed while it was idle is opened again without a word."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: socket.socket | None = None

    def ask(self, data: bytes) -> tuple[int, str]:
        """The status, and for an error what was said."""
        is_used = self._client is not None
        try:
            return self._exchange(data)
        except ConnectionError:
            self._close()
            if not is_used:
                raise
            return self._exchange(data)
        except OSError:
            self._close()
            raise

    def _exchange(self, data: bytes) -> tuple[int, str]:
        if self._client is None:
            self._client = connect(self._port, ADDRESS, GIVES_UP)
        self._client.sendall(data)
        answer = Reader(self._client).answer()
        if answer.headers.get("connection") == "close":
            self._close()
        return answer.status, answer.body[:300].decode(errors="replace") if answer.status >= 400 else ""

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
