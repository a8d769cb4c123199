"""Opening an account, by rules that are the same whoever opens it, and coming back to it with its password."""

import logging

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

import hashing
from models import PASSWORD_LENGTHS, User, db, taken, user_named
from schemas import NewUser
from shop_events import UserRegistered
from shopkit import events
from shopkit.auth import CUSTOMER
from shopkit.errors import Conflict, Invalid, NotSignedIn
from shopkit.transactions import reading

logger = logging.getLogger(__name__)


def open_account(new: NewUser, role: str = CUSTOMER) -> User:
    """Save an account, and tell of it.

    :raise Conflict: the name or the address is taken.
    :raise Invalid: the password does not follow the rule.
    :raise Busy: too many passwords are hashed at this moment.
    """
    with reading():  # hashing takes long, and holds no lock meanwhile
        _refuse_taken(new)
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


def owner_of(name: str, password: str) -> User:
    """Whose username or e-mail address this is, if it is their password; what is kept of it is renewed if it is old.

    :raise NotSignedIn: there is no such account, or it has another password; which of the two is not told.
    :raise Busy: too many passwords are hashed at this moment.
    """
    with reading():  # hashing takes long, and holds no connection meanwhile
        user = user_named(name)
    verdict = hashing.verify(user and user.password_hash, password)
    if user is None or not verdict.fits:
        raise NotSignedIn("The username or the password is wrong.", code="wrong_credentials")
    if verdict.renewed:
        _renew(user, verdict.renewed)
    return user


def _renew(user: User, password_hash: str) -> None:
    """Keep another hash of the same password, unless the password has been changed meanwhile."""
    is_the_same = User.id == user.id, User.password_hash == user.password_hash
    renewing = sa.update(User).where(*is_the_same).values(password_hash=password_hash)
    try:
        with db.engine.begin() as connection:
            connection.execute(renewing)
    except SQLAlchemyError:  # it is not what they came for, and will be done next time
        logger.warning("a password could not be kept in the way of today", exc_info=True)


def check_password(password: str) -> None:
    """:raise Invalid: it does not follow the rule."""
    if len(password) not in PASSWORD_LENGTHS:
        raise Invalid.field("password", f"must have {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]} characters")


def _refuse_taken(new: NewUser) -> None:
    field = taken(new.username, new.email)
    if field:
        raise Conflict(f"This {field} already exists.", code=f"{field}_taken")
