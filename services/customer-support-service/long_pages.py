"""Pages of very long messages are put together one at a time; all others are as soon as they are asked for."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa

from models import Message, db
from shopkit.paging import Page
from shopkit.slots import Slots
from shopkit.transactions import end_reading

ORDINARY = 100_000  # letters, as in a hundred long messages; there may be five times as many, which are 2 MB
BREATH_SECONDS = 0.001  # in which the one thread there is does what has become ready for others
slots = Slots(1, places=10)


def turn_for(messages: sa.Select[Any], page: Page) -> AbstractContextManager[None]:
    """The context in which to put a page together: one's own turn, if it is long."""
    wanted = messages.with_only_columns(sa.func.length(Message.message).label("letters"))
    lengths = wanted.limit(page.per_page).offset((page.page - 1) * page.per_page).subquery()
    letters = db.session.scalar(sa.select(sa.func.sum(lengths.c.letters))) or 0
    end_reading()  # who waits holds no connection
    return _alone() if letters > ORDINARY else nullcontext()


@contextmanager
def _alone() -> Iterator[None]:
    """:raise Busy: too many people look at long pages at this moment."""
    with slots:
        time.sleep(BREATH_SECONDS)
        yield
