"""Profiles, address books and payment methods, and the one rule of the last two: one of them is the default."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from shopkit import events, idempotency, quotas, retention
from shopkit.database import Created, new_database

db = new_database()
events.keep_inbox(db)
idempotency.keep_keys(db)


class PostalAddress:
    """Mixin: where somebody can be reached; what is not known is empty."""

    phone: Mapped[str] = mapped_column(sa.String(32), default="")
    address_line1: Mapped[str] = mapped_column(sa.String(200), default="")
    address_line2: Mapped[str] = mapped_column(sa.String(200), default="")
    city: Mapped[str] = mapped_column(sa.String(100), default="")
    state: Mapped[str] = mapped_column(sa.String(100), default="")
    postal_code: Mapped[str] = mapped_column(sa.String(20), default="")
    country: Mapped[str] = mapped_column(sa.String(60), default="")


class OneIsDefault:
    """Mixin: a person has a list of these, and exactly one is the default as long as there is any."""

    __tablename__: str
    most: int

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(index=True)
    is_default: Mapped[bool]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[sa.Index]:
        where = sa.text("is_default")
        name = f"uq_{cls.__tablename__}_one_default"
        return (sa.Index(name, "user_id", unique=True, sqlite_where=where, postgresql_where=where),)


class Profile(PostalAddress, db.Model):
    __tablename__ = "profiles"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_name: Mapped[str] = mapped_column(sa.String(100), default="")
    last_name: Mapped[str] = mapped_column(sa.String(100), default="")


class Address(OneIsDefault, PostalAddress, db.Model):
    __tablename__ = "addresses"
    most = 50

    label: Mapped[str] = mapped_column(sa.String(50), default="")
    recipient: Mapped[str] = mapped_column(sa.String(200))


class PaymentMethod(OneIsDefault, Created, db.Model):
    """A card as its provider knows it: by a token, never by its number."""

    __tablename__ = "payment_methods"
    most = 20

    provider: Mapped[str] = mapped_column(sa.String(30))
    provider_token: Mapped[str] = mapped_column(sa.String(255))
    brand: Mapped[str] = mapped_column(sa.String(20))
    last_four: Mapped[str] = mapped_column(sa.String(4))
    exp_month: Mapped[int]
    exp_year: Mapped[int]
    cardholder_name: Mapped[str] = mapped_column(sa.String(100))


retention.stays("an account has one", Profile)
retention.stays("a person has few of them, and removes them", Address, PaymentMethod)


def hold_list(kind: type[OneIsDefault], user_id: int) -> None:
    """Let nobody else change this list until we commit."""
    quotas.hold(kind, user_id)


def add_to_list(new: OneIsDefault) -> None:
    """Save a row; it becomes the default if it asks to, or if it is the first.

    :raise Conflict: the list is full.
    """
    kind = type(new)
    others = quotas.room_for_one_more(kind, new.user_id, kind.most)
    if new.is_default:
        _leave_without_default(new)
    new.is_default = new.is_default or others == 0
    db.session.add(new)


def make_default(row: OneIsDefault) -> None:
    _leave_without_default(row)
    row.is_default = True


def remove_from_list(row: OneIsDefault) -> None:
    """Delete a row; was it the default, the newest of the others is it now."""
    kind = type(row)
    db.session.delete(row)
    db.session.flush()
    newest = db.session.scalar(sa.select(kind).where(kind.user_id == row.user_id).order_by(kind.id.desc()).limit(1))
    if row.is_default and newest:
        newest.is_default = True


def _leave_without_default(row: OneIsDefault) -> None:
    kind = type(row)
    db.session.execute(sa.update(kind).where(kind.user_id == row.user_id, kind.is_default).values(is_default=False))
