"""Who may still hear what is said in a ticket: whoever has signed out, or lost their role, hears no more from then on.

Each instance asks for its own sockets before it sends them a message: the auth service, once for each token, and the
database whether the ticket is theirs to see. Who fails is told `error` and disconnected. So is everybody while nobody
can be asked: they connect again and read the ticket.
"""

import logging
from collections import deque
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import has_app_context
from socketio import Manager, RedisManager

from models import ticket_for
from refusals import in_short, problem_of
from shopkit.auth import bearer_token, who_is

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("shop.chat")

NEW_MESSAGE = "new_message"
SESSION_ENDED = "session_ended"
PATIENCE_SECONDS = 1.0  # for which the sender waits, so that mostly everybody has heard it when it is acknowledged

ProblemDetails = dict[str, Any] | None


class CheckingManager(Manager):
    """Sends `new_message` to those who may hear it, and `session_ended` as the last that anybody hears."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: dict[str, deque[tuple[dict[str, Any], Any]]] = {}
        self._lock = Lock()

    def emit(self, event: str, data: Any, namespace: str, room: Any = None, **options: Any) -> None:
        if event == SESSION_ENDED:
            for sid, _ in list(self.get_participants(namespace, room)):
                self.dismiss(sid, namespace, event, data)
        elif event != NEW_MESSAGE:
            super().emit(event, data, namespace, room=room, **options)
        elif any(self.get_participants(namespace, room)):
            self._deliver_later(data, namespace, room)

    def _deliver_later(self, message: dict[str, Any], namespace: str, room: str) -> None:
        """In another thread, as asking may take long; what is said in one ticket is heard in its order."""
        heard = self.server.eio.create_event()
        with self._lock:
            is_first = room not in self._waiting
            self._waiting.setdefault(room, deque()).append((message, heard))
        if is_first:
            self.server.start_background_task(self._deliver_all, namespace, room)
        if has_app_context():  # unlike in the thread that hears all other instances
            heard.wait(PATIENCE_SECONDS)

    def _deliver_all(self, namespace: str, room: str) -> None:
        while waiting := self._next(room):
            message, heard = waiting
            try:
                self._deliver(message, namespace, room)
            except Exception:  # a bug must not keep what follows from being heard
                logger.exception("a message was not delivered")
            heard.set()

    def _next(self, room: str) -> tuple[dict[str, Any], Any] | None:
        with self._lock:
            if self._waiting[room]:
                return self._waiting[room].popleft()
            del self._waiting[room]
            return None

    def _deliver(self, message: dict[str, Any], namespace: str, room: str) -> None:
        problems = self._problems(message["ticket_id"], dict(self.get_participants(namespace, room)))
        super().emit(NEW_MESSAGE, message, namespace, room=room, skip_sid=list(problems))
        for sid, problem in problems.items():
            if problem:
                logger.info("%s %s", NEW_MESSAGE, problem["status"])
                self.dismiss(sid, namespace, "error", in_short(problem))

    def dismiss(self, sid: str, namespace: str, event: str, why: dict[str, Any]) -> None:
        """Tell a client of ours why it hears nothing more, and disconnect it."""
        super().emit(event, why, namespace, room=sid)
        self.server.disconnect(sid, namespace, ignore_queue=True)

    def _problems(self, ticket_id: int, participants: dict[str, str]) -> dict[str, ProblemDetails]:
        """Of those who may not hear the ticket, by their sockets; None for one that is gone in the meantime."""
        found: dict[str, ProblemDetails] = {}
        away: ProblemDetails = None
        problems: dict[str, ProblemDetails] = {}
        for sid, eio_sid in participants.items():
            environ = self.server.environ.get(eio_sid)
            if environ is None:
                problems[sid] = None
                continue
            token = environ.get("HTTP_AUTHORIZATION", "")
            if token not in found:
                problem = found[token] = away or _problem_of_hearing(ticket_id, environ)
                if problem and problem["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    away = problem  # the others would wait as long for the same answer
            if problem := found[token]:
                problems[sid] = problem
        return problems


class CheckingRedisManager(RedisManager, CheckingManager):
    """The same for several instances: what Redis brings from the others is delivered by `CheckingManager`, too."""


def new_manager(redis_url: str) -> CheckingManager:
    if not redis_url:
        return CheckingManager()
    # Two shops in two databases of one Redis would hear each other: what is published knows no databases.
    return CheckingRedisManager(redis_url, channel=f"chat{urlsplit(redis_url).path}")


def _problem_of_hearing(ticket_id: int, environ: "WSGIEnvironment") -> ProblemDetails:
    with environ["flask.app"].request_context(environ):
        try:
            ticket_for(who_is(bearer_token()), ticket_id)
        except Exception as error:  # whatever it was, nobody hears anything
            return problem_of(error)
    return None
