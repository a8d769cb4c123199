"""Closed tickets go when they are old, and all that was said in them."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from shopkit import retention

LONG = timedelta(days=1095)


@pytest.fixture
def sweep_after(app):
    def sweep_after(time):
        with app.app_context():
            retention.sweep(lambda: datetime.now(UTC) + time, lambda _: None)

    return sweep_after


@pytest.fixture
def left(app):
    """The tickets that are there, and those of the messages."""
    import models

    def left():
        with app.app_context():
            tickets = set(models.db.session.scalars(sa.select(models.Ticket.id)))
            return tickets, set(models.db.session.scalars(sa.select(models.Message.ticket_id)))

    return left


@pytest.fixture
def tickets(client, alice, support):
    """An open ticket, a closed one, and one that was closed and opened again."""
    for _ in range(3):
        client.post("/tickets", headers=alice, json={"subject": "A lamp", "message": "Is it dimmable?"})
    for ticket in (2, 3):
        client.put(f"/tickets/{ticket}/close", headers=support)
    client.post("/tickets/3/messages", headers=alice, json={"message": "Thank you!"})


@pytest.mark.usefixtures("tickets")
def test_closed_tickets_go_after_three_years_and_open_ones_never(sweep_after, left):
    sweep_after(LONG - timedelta(minutes=1))
    assert left() == ({1, 2, 3}, {1, 2, 3})

    sweep_after(LONG)
    assert left() == ({1, 3}, {1, 3})


@pytest.mark.usefixtures("tickets")
def test_who_replies_to_what_has_gone_meanwhile_finds_no_ticket(app, client, alice, sweep_after, monkeypatch):
    import conversation

    def found_before_it_went(user, ticket_id):
        ticket = found(user, ticket_id)
        conversation.db.session.commit()
        sweep_after(LONG)
        return ticket

    found = conversation.ticket_for
    monkeypatch.setattr(conversation, "ticket_for", found_before_it_went)

    assert client.put("/tickets/2/close", headers=alice).status_code == 404
