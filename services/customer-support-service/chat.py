"""Tickets live, over Socket.IO at `/socket.io`.

A client connects with its access token, `{token}` in the auth payload or in the Authorization header, and says

    join_chat     {ticket_id}             hear what is said in a ticket from now on
    leave_chat    {ticket_id}
    chat_message  {ticket_id, message}    say something in it
    contact_form  {subject, message}      open a ticket

Each is acknowledged by `{ok: true, …}` or by the problem that HTTP would answer with `ok: false`. The server says
`new_message` to everyone who hears a ticket, `contact_form_status` to who sent the form, and `error` before it
disconnects somebody whose token does not hold any longer.
"""

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import current_app, g, request
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO, disconnect, emit, join_room, leave_room
from pydantic import ValidationError
from werkzeug.exceptions import InternalServerError

import conversation
from conversation import room_of
from models import db, ticket_for
from schemas import ChatMessage, NewTicket, SocketAuth, TicketRef
from shopkit.auth import PEOPLE, bearer_token, current_user, who_is
from shopkit.database import writes
from shopkit.errors import Invalid, NotAllowed, NotSignedIn, invalid_fields
from shopkit.schemas import Input

logger = logging.getLogger("shop.chat")

Body = TypeVar("Body", bound=Input)
Acknowledgement = dict[str, Any]


def init_app(socketio: SocketIO) -> None:
    socketio.on_event("connect", connect)
    for handler in (join_chat, leave_chat, chat_message, contact_form):
        socketio.on_event(handler.__name__, handler)
    socketio.on_error_default(_problem)


def connect(auth: object) -> None:
    try:
        if auth is not None:
            # The token stands where a request has it, for every event of this connection.
            request.environ["HTTP_AUTHORIZATION"] = f"Bearer {_read(SocketAuth, auth).token}"
        _let_in()
    except Exception as error:  # whatever it was, nobody gets in
        problem = _problem(error)
        raise Refused(problem["error"], problem) from None
    _log(200)


def answering(schema: type[Body]) -> Callable[[Callable[[Body], Acknowledgement]], Callable[..., Acknowledgement]]:
    """Check who speaks and what is said before a handler gets it, and acknowledge it."""

    def decorate(handle: Callable[[Body], Acknowledgement]) -> Callable[..., Acknowledgement]:
        @wraps(handle)
        def answer(*payload: object) -> Acknowledgement:
            _let_in()
            said = handle(_read(schema, *payload))
            _log(200)
            return {"ok": True, **said}

        return answer

    return decorate


@answering(TicketRef)
def join_chat(body: TicketRef) -> Acknowledgement:
    ticket = ticket_for(current_user(), body.ticket_id)
    join_room(room_of(ticket.id))
    return {"ticket_id": ticket.id}


@answering(TicketRef)
def leave_chat(body: TicketRef) -> Acknowledgement:
    leave_room(room_of(body.ticket_id))
    return {"ticket_id": body.ticket_id}


@answering(ChatMessage)
@writes
def chat_message(body: ChatMessage) -> Acknowledgement:
    message = conversation.reply(current_user(), body.ticket_id, body.message)
    db.session.commit()
    return {"message": message.model_dump(mode="json")}


@answering(NewTicket)
@writes
def contact_form(body: NewTicket) -> Acknowledgement:
    ticket = conversation.open_ticket(current_user(), body)
    db.session.commit()
    emit("contact_form_status", {"status": "received", "ticket_id": ticket.id})
    return {"ticket_id": ticket.id}


def _let_in() -> None:
    """What happens before every HTTP request; asking for whoever calls each time makes a logout hold at once."""
    current_app.preprocess_request()
    g.user = who_is(bearer_token())
    if g.user.role not in PEOPLE:
        raise NotAllowed("This is not for your account.")


def _read(schema: type[Body], *payload: object) -> Body:
    if len(payload) != 1 or not isinstance(payload[0], dict):
        raise Invalid.field("body", "must be a JSON object")
    try:
        return schema.model_validate(payload[0])
    except ValidationError as error:
        invalid_fields(error)


def _problem(error: Exception) -> Acknowledgement:
    """What HTTP would answer; a token that does not hold ends the connection too."""
    try:
        response = current_app.handle_user_exception(error)
    except Exception:  # a bug, which HTTP would answer with a 500 too
        current_app.log_exception(sys.exc_info())
        response = current_app.handle_user_exception(InternalServerError())
    problem = current_app.make_response(response).get_json()
    _log(problem["status"])
    if isinstance(error, NotSignedIn) and _event() != "connect":
        emit("error", {"code": problem["code"], "error": problem["error"]})
        disconnect()
    return {"ok": False, **problem}


def _log(status: int) -> None:
    event = _event()
    fields = {"event": event, "status": status, "user_id": g.user.id if "user" in g else None}
    logger.info("%s %s", event, status, extra={"fields": fields})


def _event() -> str:
    name: str = request.event["message"]  # type: ignore[attr-defined]
    return name
