"""Quotas: how many rows of a kind one person may have, or make in a day; safe when several are made at once."""

import math
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from flask import current_app

from shopkit.database import now, one_at_a_time
from shopkit.errors import Conflict, TooManyRequests

DAY = timedelta(days=1)


class TooManyToday(TooManyRequests):
    """Over sockets, where there are no headers, `retry_after` says when to come again."""

    code = "too_many_today"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, {"Retry-After": str(seconds)})
        self.extra = {"retry_after": seconds}

    @classmethod
    def again(cls, most: int, things: str, first: datetime, moment: datetime) -> Self:
        """To come again when the first of them is a day old; one to come is from before the clock was set back."""
        seconds = math.ceil(min(first + DAY - moment, DAY).total_seconds())
        return cls(f"That would be more than {most} {things} in a day; come again later.", seconds)


def room_for_one_more(kind: type[Any], user_id: int, most: int) -> int:
    """How many of a kind somebody has, when there may be one more; nobody else adds one before we commit.

    :raise Conflict: it is as many as there may be.
    """
    hold(kind, user_id)
    query = sa.select(sa.func.count()).select_from(kind).where(kind.user_id == user_id)
    number: int = _session().scalars(query).one()
    if number >= most:
        things = _in_words(kind)
        raise Conflict(f"You have {number} {things} already; remove one first.", code="list_full")
    return number


def one_more_today(kind: type[Any], user_id: int, most: int, *only: sa.TextClause, what: str = "") -> None:
    """Make sure that somebody has made fewer of a kind than a day may have; nobody else makes one before we commit.

    :param only: which are counted.
    :param what: what these are called, if not as their table is.
    :raise TooManyToday: they come again when the first of them is a day old.
    """
    hold(kind, user_id)
    moment = now()
    today = sa.select(kind.created_at).where(kind.user_id == user_id, kind.created_at > moment - DAY, *only)
    first = _session().scalar(today.order_by(kind.created_at.desc()).offset(most - 1).limit(1))
    if first is not None:
        raise TooManyToday.again(most, what or _in_words(kind), first, moment)


def hold(kind: type[Any], user_id: int) -> None:
    """Let nobody else change what somebody has of a kind until we commit."""
    one_at_a_time(kind.__tablename__, user_id)


def _in_words(kind: type[Any]) -> str:
    return str(kind.__tablename__).replace("_", " ")


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session
