"""The tickets of the demonstration: one of alice's that is open, one of bob's that is closed."""

from models import CLOSED, Message, Ticket
from shopkit.auth import CUSTOMER, SUPPORT, User
from shopkit.seeding import add_in_order, fills, main

ALICE = User(id=1, username="alice", email="alice@example.com", role=CUSTOMER)
BOB = User(id=2, username="bob", email="bob@example.com", role=CUSTOMER)
HELPER = User(id=3, username="support", email="support@example.com", role=SUPPORT)


@fills(Ticket)
def seed() -> None:
    """Add them to an empty database; alice's gets the id 1."""
    alices = Ticket.by(ALICE, "Where is my order?", "I ordered three days ago. When will it arrive?")
    alices.messages += [
        Message.by(HELPER, "It left our warehouse this morning and should reach you within two days."),
        Message.by(ALICE, "Wonderful. Can I still change the address?"),
    ]
    bobs = Ticket.by(BOB, "A lamp without a plug", "The lamp looks great, but its plug does not fit here.")
    bobs.messages.append(Message.by(HELPER, "We are sorry! An adapter is on its way to you, free of charge."))
    add_in_order([alices, bobs])
    bobs.move_to(CLOSED)


if __name__ == "__main__":
    main()
