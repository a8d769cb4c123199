from flask_openapi3 import APIBlueprint, Tag

from conversation import Conversation
from long_pages import turn_for
from models import messages_of, ticket_for, tickets_for
from recent_orders import recent_orders_of
from schemas import (
    MessageOut,
    Messages,
    NewMessage,
    NewTicket,
    TicketForStaff,
    TicketList,
    TicketOut,
    TicketPath,
    TicketQuery,
    TicketShown,
    TicketSummary,
)
from shopkit.auth import current_user
from shopkit.idempotency import idempotent
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult


def tickets(conversation: Conversation) -> APIBlueprint:
    api = APIBlueprint("tickets", __name__, abp_tags=[Tag(name="tickets")])

    @api.post("/tickets", responses={201: TicketOut})
    @idempotent
    def open_ticket(body: NewTicket) -> ViewResult:
        """Ask the shop something."""
        return conversation.open_ticket(current_user(), body), 201

    @api.get("/tickets", responses={200: TicketList})
    def list_tickets(query: TicketQuery) -> ViewResult:
        """One's own tickets, the newest activity first; staff see everybody's."""
        found = tickets_for(current_user())
        if query.status:
            found = found.filter_by(status=query.status)
        return page_of(found, query, TicketSummary)

    @api.get("/tickets/<int:ticket_id>", responses={200: TicketShown})
    def show_ticket(path: TicketPath) -> ViewResult:
        """A ticket and what was said in it lately; staff see what its writer has ordered lately, too."""
        ticket = ticket_for(current_user(), path.ticket_id)
        shown = TicketOut.model_validate(ticket)
        if not current_user().is_staff:
            return shown
        return TicketForStaff.model_validate({**shown.model_dump(), "recent_orders": recent_orders_of(ticket.user_id)})

    @api.get("/tickets/<int:ticket_id>/messages", responses={200: Messages})
    def list_messages(path: TicketPath, query: Page) -> ViewResult:
        """All that was said in a ticket, the newest first."""
        messages = messages_of(ticket_for(current_user(), path.ticket_id))
        with turn_for(messages, query):
            return page_of(messages, query, MessageOut)

    @api.post("/tickets/<int:ticket_id>/messages", responses={201: MessageOut})
    @idempotent
    def reply(path: TicketPath, body: NewMessage) -> ViewResult:
        """Say something in a ticket; a closed one is opened again."""
        return conversation.reply(current_user(), path.ticket_id, body.message), 201

    @api.put("/tickets/<int:ticket_id>/close", responses={200: TicketOut})
    @api.post("/tickets/<int:ticket_id>/close", responses={200: TicketOut})
    def close_ticket(path: TicketPath) -> ViewResult:
        """Close a ticket."""
        return conversation.close(current_user(), path.ticket_id)

    return api
