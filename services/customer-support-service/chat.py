"""Tickets live, over Socket.IO at `/socket.io`.

A client connects with its access token, `{token}` in the auth payload or in the Authorization header, and says

    join_chat     {ticket_id}             hear what is said in a ticket from now on
    leave_chat    {ticket_id}
    chat_message  {ticket_id, message}    say something in it
    contact_form  {subject, message}      open a ticket

Each is acknowledged by `{ok: true, …}` or by the problem that HTTP would answer with `ok: false`. The server says
`new_message` to everyone who hears a ticket, and `contact_form_status {success, …}` to who sent a form. Before it
disconnects somebody it says `session_ended {code, error}`, or `error` if it finds out by a token that does not hold.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, TypeVar

from flask import current_app, g, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO, disconnect, emit, join_room, leave_room
from pydantic import ValidationError

from conversation import Conversation, room_of
from models import db, ticket_for
from refusals import in_short, problem_of
from schemas import ChatMessage, NewTicket, SocketAuth, TicketRef
from shopkit.auth import PEOPLE, bearer_token, current_user, who_is
from shopkit.errors import Invalid, NotAllowed, NotFound, NotSignedIn, invalid_fields, shortened
from shopkit.schemas import Input, refuse_excess
from shopkit.transactions import writes
from standing import Standing

logger = logging.getLogger("shop.chat")

FORM_STATUS = "contact_form_status"
OF_THEMSELVES = frozenset({"user_id", "is_staff"})

Body = TypeVar("Body", bound=Input)
Acknowledgement = dict[str, Any]
Handler = Callable[["Chat", Body], Acknowledgement]


def answering(schema: type[Body]) -> Callable[[Handler[Body]], Callable[..., Acknowledgement]]:
    """Check who speaks and what is said before a handler gets it, and acknowledge it."""

    def decorate(handle: Handler[Body]) -> Callable[..., Acknowledgement]:
        @wraps(handle)
        def answer(chat: "Chat", *payload: object) -> Acknowledgement:
            _let_in()
            said = handle(chat, _read(schema, payload))
            _log(200)
            return {"ok": True, **said}

        return answer

    return decorate


@dataclass(frozen=True)
class Chat:
    """What becomes of what clients say."""

    conversation: Conversation
    standing: Standing

    def listen(self, socketio: SocketIO) -> None:
        socketio.on_event("connect", self.connect)
        for handler in (self.join_chat, self.leave_chat, self.chat_message, self.contact_form):
            socketio.on_event(handler.__name__, handler)
        socketio.on_event("*", unknown)
        socketio.on_error_default(_problem)

    def connect(self, auth: object) -> None:
        try:
            if auth is not None:
                # The token stands where a request has it, for every event of this connection.
                request.environ["HTTP_AUTHORIZATION"] = f"Bearer {_token(auth)}"
            _let_in()
            self.standing.begin(current_user())
        except Exception as error:  # whatever it was, nobody gets in
            problem = _problem(error)
            raise Refused(problem["error"], problem) from None
        _log(200)

    @answering(TicketRef)
    def join_chat(self, body: TicketRef) -> Acknowledgement:
        ticket = ticket_for(current_user(), body.ticket_id)
        join_room(room_of(ticket.id))
        return {"ticket_id": ticket.id}

    @answering(TicketRef)
    def leave_chat(self, body: TicketRef) -> Acknowledgement:
        leave_room(room_of(body.ticket_id))
        return {"ticket_id": body.ticket_id}

    @answering(ChatMessage)
    @writes
    def chat_message(self, body: ChatMessage) -> Acknowledgement:
        message = self.conversation.reply(current_user(), body.ticket_id, body.message)
        db.session.commit()
        return {"message": message.model_dump(mode="json")}

    @answering(NewTicket)
    @writes
    def contact_form(self, body: NewTicket) -> Acknowledgement:
        ticket = self.conversation.open_ticket(current_user(), body)
        db.session.commit()
        emit(FORM_STATUS, {"success": True, "status": "received", "ticket_id": ticket.id})
        return {"ticket_id": ticket.id}


def unknown(event: str, *_: object) -> NoReturn:
    raise NotFound("There is no such event.", code="unknown_event")


def _let_in() -> None:
    """What happens before every HTTP request; asking for whoever calls each time makes a logout hold at once."""
    current_app.preprocess_request()
    g.user = who_is(bearer_token())
    if g.user.role not in PEOPLE:
        raise NotAllowed("This is not for your account.")


def _token(auth: object) -> str:
    if isinstance(auth, dict):
        refuse_excess(auth)
    try:
        return SocketAuth.model_validate(auth).token
    except ValidationError:
        raise NotSignedIn("Sign in: connect with your access token, as {token}.") from None


def _read(schema: type[Body], payload: tuple[object, ...]) -> Body:
    """What clients say of themselves is dropped: who speaks is known from the token."""
    if len(payload) != 1 or not isinstance(payload[0], dict):
        raise Invalid.field("body", "must be a JSON object")
    refuse_excess(payload[0])
    try:
        return schema.model_validate({name: value for name, value in payload[0].items() if name not in OF_THEMSELVES})
    except ValidationError as error:
        invalid_fields(error)


def _problem(error: Exception) -> Acknowledgement:
    """What HTTP would answer; a token that does not hold ends the connection too."""
    problem = problem_of(error)
    _log(problem["status"])
    if _event() == Chat.contact_form.__name__:
        emit(FORM_STATUS, {"success": False, **in_short(problem)})
    if isinstance(error, NotSignedIn) and _event() != "connect":
        emit("error", in_short(problem))
        disconnect()
    return {"ok": False, **problem}


def _log(status: int) -> None:
    event = shortened(str(_event()), 100)
    fields = {"event": event, "status": status, "user_id": g.user.id if "user" in g else None}
    logger.info("%s %s", event, status, extra={"fields": fields})


def _event() -> str:
    name: str = request.event["message"]  # type: ignore[attr-defined]
    return name
