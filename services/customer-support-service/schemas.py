"""What goes in and out of the customer support service as JSON, over HTTP and over Socket.IO."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, RootModel

from shopkit.paging import Page
from shopkit.schemas import Amount, Id, Input, Output, Timestamp

Status = Literal["open", "closed"]


_CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")


def _readable(text: str) -> str:
    """Over sockets, too: control characters would be written with six bytes each."""
    if _CONTROL.search(text):
        raise ValueError("must not contain a control character")
    return text


Subject = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Text = Annotated[str, Field(min_length=1, max_length=5000), AfterValidator(_readable)]


class SocketAuth(Input):
    """What a Socket.IO client connects with."""

    token: Annotated[str, Field(max_length=4096, pattern=r"^[!-~]+$")]


class NewTicket(Input):
    subject: Subject
    message: Text


class NewMessage(Input):
    message: Text


class TicketRef(Input):
    ticket_id: Id


class ChatMessage(TicketRef, NewMessage):
    pass


class TicketPath(Output):
    ticket_id: int


class TicketQuery(Page):
    status: Annotated[Status, BeforeValidator(str.lower)] | None = None


class MessageOut(Output):
    id: int
    ticket_id: int
    user_id: int
    username: str
    is_staff: bool
    message: str
    created_at: Timestamp


class TicketSummary(Output):
    id: int
    subject: str
    status: Status
    user_id: int
    username: str
    created_at: Timestamp
    updated_at: Timestamp
    closed_at: Timestamp | None
    message_count: int


class TicketList(RootModel[list[TicketSummary]]):
    pass


class TicketOut(TicketSummary):
    """A ticket with its messages, in order; of very many the newest."""

    messages: list[MessageOut] = Field(validation_alias="newest_messages")


class RecentOrderOut(Output):
    order_id: int
    status: str
    total_amount: Amount
    currency: str


class TicketForStaff(TicketSummary):
    messages: list[MessageOut]
    recent_orders: list[RecentOrderOut]


class Messages(RootModel[list[MessageOut]]):
    pass


class TicketShown(RootModel[TicketForStaff | TicketOut]):
    pass
