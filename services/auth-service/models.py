"""Accounts, and the sessions and tokens that no longer hold."""

import unicodedata
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

import hashing
from shopkit import events, retention
from shopkit.auth import CUSTOMER
from shopkit.database import Created, UtcDateTime, insert_new, new_database

db = new_database()
events.keep_outbox(db)

PASSWORD_LENGTHS = range(8, 129)


def folded(name: str) -> str:
    """Names that look alike are the same name: `Alice`, `alice` and `alice` in full-width letters."""
    return unicodedata.normalize("NFKC", name).casefold()


class User(Created, db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(50))
    username_key: Mapped[str] = mapped_column(sa.String(200), unique=True)
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(800), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(200))
    role: Mapped[str] = mapped_column(sa.String(20), default=CUSTOMER)

    @classmethod
    def new(cls, username: str, email: str, password: str, role: str = CUSTOMER) -> "User":
        """An account that is not saved yet. Hashing takes long, so have no transaction open.

        :raise Busy: too many passwords are hashed at this moment.
        """
        return cls(
            username=username,
            username_key=folded(username),
            email=email,
            email_key=folded(email),
            password_hash=hashing.hashed(password),
            role=role,
        )


class RevokedToken(db.Model):
    """A session (`sid`) that has ended, or a refresh token (`jti`) and when it was first used.

    A token without that moment was used before it was written down: long ago.
    """

    __tablename__ = "revoked_tokens"

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


retention.stays("an account is its owner's", User)
retention.goes(RevokedToken.expires_at)


def user_named(name: str) -> User | None:
    """The user with this username or e-mail address."""
    column = User.email_key if "@" in name else User.username_key
    user: User | None = db.session.scalar(sa.select(User).where(column == folded(name)))
    return user


def taken(username: str, email: str) -> str | None:
    """Which of the two somebody else has already."""
    if db.session.scalar(sa.select(User.id).where(User.username_key == folded(username))):
        return "username"
    if db.session.scalar(sa.select(User.id).where(User.email_key == folded(email))):
        return "email"
    return None


def revoke(session_id: str, until: datetime) -> bool:
    """Refuse every token of a session from now on, and say whether that is new."""
    return insert_new(RevokedToken, id=session_id, expires_at=until)


def is_revoked(session_id: str) -> bool:
    return db.session.scalar(sa.select(RevokedToken.id).where(RevokedToken.id == session_id)) is not None


def first_use(token_id: str, moment: datetime, until: datetime) -> datetime | None:
    """When a token was first used: at this moment, unless it was before. None is long ago."""
    if insert_new(RevokedToken, id=token_id, used_at=moment, expires_at=until):
        return moment
    this = RevokedToken.id == token_id
    # A use in the future was noted before the clock was set back: it counts as a use of this moment.
    db.session.execute(sa.update(RevokedToken).where(this, RevokedToken.used_at > moment).values(used_at=moment))
    used_at: datetime | None = db.session.scalar(sa.select(RevokedToken.used_at).where(this))
    return used_at
