"""The people of the demonstration: two customers, one from support, one administrator."""

from models import User
from shopkit.auth import ADMIN, CUSTOMER, SUPPORT
from shopkit.seeding import add_in_order, fills, main

PASSWORD = "password123"  # noqa: S105 - printed in the README
PEOPLE = [("alice", CUSTOMER), ("bob", CUSTOMER), ("support", SUPPORT), ("admin", ADMIN)]


@fills(User)
def seed() -> None:
    """Add them to an empty database, with the ids 1 to 4 that the other services' data speak of."""
    people = [User.new(name, f"{name}@example.com", PASSWORD, role) for name, role in PEOPLE]
    add_in_order(people)


if __name__ == "__main__":
    main()
