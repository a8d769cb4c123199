"""The people of the demonstration: two customers, one from support, one administrator."""

import sqlalchemy as sa

from models import User, db
from shopkit.auth import ADMIN, CUSTOMER, SUPPORT
from shopkit.transactions import end_reading

PASSWORD = "password123"  # noqa: S105 - printed in the README
PEOPLE = [("alice", CUSTOMER), ("bob", CUSTOMER), ("support", SUPPORT), ("admin", ADMIN)]


def seed() -> None:
    """Add them to an empty database, with the ids 1 to 4 that the other services' data speak of."""
    if db.session.scalar(sa.select(User.id).limit(1)):
        return
    end_reading()  # hashing takes long
    people = [User.new(name, f"{name}@example.com", PASSWORD, role) for name, role in PEOPLE]
    for person in people:
        db.session.add(person)
        db.session.flush()  # one by one, so that the ids are those of the list
    db.session.commit()


if __name__ == "__main__":
    from shopkit.prepare import main

    main(seed=True)
