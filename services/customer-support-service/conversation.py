"""What people do with tickets, through whichever door they come: HTTP or Socket.IO.

What adds something leaves the commit to the door, which may have an `Idempotency-Key` to commit with it.
"""

from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from flask_socketio import SocketIO

from models import CLOSED, OPEN, Message, Ticket, db, ticket_for
from schemas import MessageOut, NewTicket, TicketOut
from shopkit import quotas
from shopkit.auth import User
from shopkit.database import now
from shopkit.errors import NotFound
from shopkit.transactions import after_commit, commit_and_show, flush_and_show

TICKETS_A_DAY, MESSAGES_A_DAY = 100, 1000


@dataclass(frozen=True)
class Conversation:
    """:param socketio: through which those who have a ticket open hear what is said in it."""

    socketio: SocketIO

    def open_ticket(self, user: User, new: NewTicket) -> TicketOut:
        """Ask the shop something.

        :raise TooManyToday: they have asked or said too much already.
        """
        _refuse_flood(user, Ticket, TICKETS_A_DAY)
        _refuse_flood(user, Message, MESSAGES_A_DAY)
        ticket = Ticket.by(user, new.subject, new.message)
        db.session.add(ticket)
        return flush_and_show(ticket, TicketOut)

    def reply(self, user: User, ticket_id: int, text: str) -> MessageOut:
        """Add a message, which opens a closed ticket again, and once that is committed tell everyone in its room.

        :raise NotFound: no such ticket, or somebody else's.
        :raise TooManyToday: they have said too much already.
        """
        ticket = _held(ticket_for(user, ticket_id))
        _refuse_flood(user, Message, MESSAGES_A_DAY)
        message = Message.by(user, text)
        message.ticket_id = ticket.id
        db.session.add(message)
        ticket.move_to(OPEN)
        ticket.updated_at = now()
        shown = flush_and_show(message, MessageOut)
        tell = partial(self.socketio.emit, "new_message", shown.model_dump(mode="json"), to=room_of(ticket_id))
        after_commit(tell)
        return shown

    def close(self, user: User, ticket_id: int) -> TicketOut:
        """Close a ticket; closing a closed one changes nothing.

        :raise NotFound: no such ticket, or somebody else's.
        """
        ticket = _held(ticket_for(user, ticket_id))
        ticket.move_to(CLOSED)
        return commit_and_show(ticket, TicketOut)


def room_of(ticket_id: int) -> str:
    return f"ticket-{ticket_id}"


def _refuse_flood(user: User, kind: type[Ticket | Message], most: int) -> None:
    """Staff answer everybody, so they are not counted."""
    if not user.is_staff:
        quotas.one_more_today(kind, user.id, most)


def _held(ticket: Ticket) -> Ticket:
    """Whoever else replies to it or closes it at this moment comes before or after us, so that its status is right.

    :raise NotFound: it was so old that it has gone meanwhile.
    """
    locking = sa.select(Ticket).filter_by(id=ticket.id).with_for_update()
    held: Ticket | None = db.session.scalar(locking, execution_options={"populate_existing": True})
    if held is None:
        raise NotFound(f"There is no ticket {ticket.id}.")
    return held
