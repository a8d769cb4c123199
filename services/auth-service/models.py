"""Accounts, and the sessions and tokens that no longer hold."""

import unicodedata
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

import hashing
from shopkit import events, retention
from shopkit.auth import CUSTOMER
from shopkit.database import Created, UtcDateTime, insert_new, new_database
from shopkit.quotas import DAY, TooManyToday

db = new_database()
events.keep_outbox(db)

PASSWORD_LENGTHS = range(8, 129)
REFRESHES_A_DAY = 1000


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
    __table_args__ = (sa.Index(None, "user_id", "used_at"),)

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    user_id: Mapped[int | None]  # who has refreshed with it


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


def first_use(token_id: str, user_id: int, moment: datetime, until: datetime) -> datetime | None:
    """When a token was first used: at this moment, unless it was before. None is long ago.

    :raise TooManyToday: it is new, and its owner has used as many in a day as there may be.
    """
    if insert_new(RevokedToken, id=token_id, user_id=user_id, used_at=moment, expires_at=until):
        _refuse_flood(user_id, moment)
        return moment
    this = RevokedToken.id == token_id
    # A use in the future was noted before the clock was set back: it counts as a use of this moment.
    db.session.execute(sa.update(RevokedToken).where(this, RevokedToken.used_at > moment).values(used_at=moment))
    used_at: datetime | None = db.session.scalar(sa.select(RevokedToken.used_at).where(this))
    return used_at


def _refuse_flood(user_id: int, moment: datetime) -> None:
    """Each use is kept for as long as the token could live."""
    today = sa.select(RevokedToken.used_at).filter_by(user_id=user_id).where(RevokedToken.used_at > moment - DAY)
    newest_first = today.order_by(RevokedToken.used_at.desc())
    first = db.session.scalar(newest_first.offset(REFRESHES_A_DAY).limit(1))  # this one is there already
    if first is not None:
        raise TooManyToday.again(REFRESHES_A_DAY, "refreshes", first, moment)
