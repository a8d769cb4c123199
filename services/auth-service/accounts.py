"""Opening an account: the rules are the same whoever opens it."""

from sqlalchemy.exc import IntegrityError

from models import PASSWORD_LENGTHS, User, db, taken
from schemas import NewUser
from shop_events import UserRegistered
from shopkit import events
from shopkit.auth import CUSTOMER
from shopkit.errors import Conflict, Invalid


def open_account(new: NewUser, role: str = CUSTOMER) -> User:
    """Save an account, and tell of it.

    :raise Conflict: the name or the address is taken.
    :raise Invalid: the password does not follow the rule.
    """
    _refuse_taken(new)
    db.session.rollback()  # hashing takes long, and holds no lock meanwhile
    check_password(new.password)
    user = User.new(new.username, new.email, new.password, role)
    db.session.add(user)
    try:
        db.session.flush()
        events.publish(UserRegistered(user_id=user.id, username=user.username))
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        _refuse_taken(new)  # somebody was faster
        raise
    return user


def check_password(password: str) -> None:
    """:raise Invalid: it does not follow the rule."""
    if len(password) not in PASSWORD_LENGTHS:
        raise Invalid.field("password", f"must have {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]} characters")


def _refuse_taken(new: NewUser) -> None:
    field = taken(new.username, new.email)
    if field:
        raise Conflict(f"This {field} already exists.", code=f"{field}_taken")
