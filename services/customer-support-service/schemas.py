"""What goes in and out of the customer support service as JSON, over HTTP and over Socket.IO."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, RootModel

from shopkit.paging import Page
from shopkit.schemas import Amount, Id, Input, Output, Timestamp

Status = Literal["open", "closed"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Subject = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_nul)]
Text = Annotated[str, Field(min_length=1, max_length=5000), AfterValidator(_without_nul)]


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
