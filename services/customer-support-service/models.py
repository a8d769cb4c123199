"""Tickets, what was said in them, and whose business they are; and what those who wrote them have ordered."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from shopkit import events, idempotency, retention
from shopkit.auth import User
from shopkit.database import Created, UtcDateTime, fetch_or_404, new_database, now

db = new_database()
events.keep_inbox(db)
idempotency.keep_keys(db)

MOST_SHOWN, MOST_LETTERS = 100, 50_000  # messages of a ticket at once, and letters in all of them
OPEN, CLOSED = "open", "closed"
NEXT_STATUSES = {OPEN: {CLOSED}, CLOSED: {OPEN}}


class RecentOrder(db.Model):
    """What support should know of an order, as the order service tells it."""

    __tablename__ = "recent_orders"
    __table_args__ = (sa.Index(None, "user_id", "order_id"),)

    order_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(20))
    total_amount: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.String(3))


class Message(Created, db.Model):
    __tablename__ = "messages"
    __table_args__ = (sa.Index(None, "user_id", "created_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    ticket_id: Mapped[int] = mapped_column(sa.ForeignKey("tickets.id"), index=True)
    user_id: Mapped[int]
    username: Mapped[str] = mapped_column(sa.String(50))
    is_staff: Mapped[bool]
    message: Mapped[str] = mapped_column(sa.String(5000))

    @classmethod
    def by(cls, user: User, text: str) -> "Message":
        return cls(user_id=user.id, username=user.username, is_staff=user.is_staff, message=text)


class Ticket(Created, db.Model):
    __tablename__ = "tickets"
    __table_args__ = (sa.Index(None, "user_id", "updated_at"), sa.Index(None, "user_id", "created_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    username: Mapped[str] = mapped_column(sa.String(50))
    subject: Mapped[str] = mapped_column(sa.String(200))
    status: Mapped[str] = mapped_column(sa.String(10), default=OPEN)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)

    messages: Mapped[list[Message]] = relationship(order_by=Message.id)
    message_count: Mapped[int] = column_property(
        sa.select(sa.func.count(Message.id)).where(Message.ticket_id == id).correlate_except(Message).scalar_subquery(),
        deferred=True,
    )

    @property
    def newest_messages(self) -> Sequence[Message]:
        """What was said last, in order; the rest is shown page by page."""
        newest: Sequence[Message] = db.session.scalars(messages_of(self).limit(MOST_SHOWN)).all()
        letters = accumulate(len(each.message) for each in newest)
        fitting = sum(1 for each in letters if each <= MOST_LETTERS)
        return newest[:fitting][::-1]

    @classmethod
    def by(cls, user: User, subject: str, text: str) -> "Ticket":
        ticket = cls(user_id=user.id, username=user.username, subject=subject, messages=[Message.by(user, text)])
        ticket.created_at = ticket.updated_at = now()
        return ticket

    def move_to(self, status: str) -> None:
        """Close it or open it again; where no move leads there, as when it is so already, nothing happens."""
        if status in NEXT_STATUSES[self.status]:
            self.status = status
            self.updated_at = now()
            self.closed_at = self.updated_at if status == CLOSED else None


retention.goes(Ticket.closed_at, "keep_tickets_days", along=[Message.ticket_id], at_once=10)
retention.stays("staff sees what somebody has ordered, and orders are kept", RecentOrder)


def ticket_for(user: User, ticket_id: int) -> Ticket:
    """The ticket, if it is this user's or the user is staff.

    :raise NotFound: it is neither.
    """
    return fetch_or_404(Ticket, ticket_id, **_whose(user))


def messages_of(ticket: Ticket) -> sa.Select[Any]:
    """What was said in it, the newest first."""
    return sa.select(Message).filter_by(ticket_id=ticket.id).order_by(Message.id.desc())


def tickets_for(user: User) -> sa.Select[tuple[Ticket]]:
    """Those that `ticket_for` would give, the newest activity first."""
    tickets = sa.select(Ticket).filter_by(**_whose(user)).options(sa.orm.undefer(Ticket.message_count))
    return tickets.order_by(Ticket.updated_at.desc(), Ticket.id.desc())


def _whose(user: User) -> dict[str, int]:
    return {} if user.is_staff else {"user_id": user.id}
