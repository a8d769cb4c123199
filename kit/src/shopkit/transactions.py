"""Transactions: where reading ends, what is shown of what is written, and what happens once it is committed.

with reading():                               a transaction of its own that only reads
    user = user_named(name)
end_reading()                                 before something slow or remote, if no block fits
return commit_and_show(ticket, TicketOut)     the last that a view does, so that nothing is read after the commit
return flush_and_show(ticket, TicketOut)      the same for an idempotent view, which does not commit
after_commit(callback)                        once it is committed, and never if it is rolled back
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import current_app, g, has_request_context, request
from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

_CALLBACKS, _COMMITTED, _FLUSHED = "after_commit", "committed", "flushed"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

P = ParamSpec("P")
R = TypeVar("R")
Shown = TypeVar("Shown", bound=BaseModel)
logger = logging.getLogger(__name__)


@contextmanager
def reading() -> Iterator[None]:
    """What is asked in here is asked in a transaction that only reads, and ends; rows stay as they were read.

    :raise RuntimeError: something was written in it.
    """
    was, g.reads_only = only_reads(), True
    try:
        yield
        _end_reading()
    finally:
        g.reads_only = was


def end_reading() -> None:
    """End the open transaction, which has only read: what follows is slow or remote. Rows stay as they were read.

    :raise RuntimeError: something was written in it.
    """
    with reading():
        pass


def flush_and_show(row: object, schema: type[Shown]) -> Shown:
    """Show a row as it will be committed, with what the database itself decides; for views that do not commit."""
    _session().flush()
    return schema.model_validate(row)


def commit_and_show(row: object, schema: type[Shown]) -> Shown:
    """Commit, and show a row as it was committed. It is read before, as afterwards that were another transaction."""
    shown = flush_and_show(row, schema)
    _session().commit()
    return shown


def after_commit(callback: Callable[[], object]) -> None:
    """Call this once the open transaction is committed, and never if it is rolled back; it may not use the session."""
    _session()().info.setdefault(_CALLBACKS, []).append(callback)


def reads_only(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that only reads though its method is POST, so that it does not queue with the writers."""
    return _marking("reads_only", view)


def writes(handler: Callable[P, R]) -> Callable[P, R]:
    """Mark what writes though its request is a GET, as whatever a Socket.IO event asks for."""
    return _marking("writes", handler)


def only_reads() -> bool:
    """Whether the present transaction was declared to only read."""
    return bool(g.get("reads_only"))


def may_write() -> bool:
    """Whether the transaction that now begins may write: everything but the reading of a request."""
    return not has_request_context() or "writes" in g or not (request.method in _SAFE_METHODS or only_reads())


def watch(session: scoped_session[Any]) -> None:
    """Let the sessions of a database call back, and know whether they have written."""
    event.listen(session, "after_flush", _note_flush)
    event.listen(session, "after_commit", _note_commit)
    event.listen(session, "after_transaction_end", _call_back)
    event.listen(session, "after_rollback", _forget)


def _end_reading() -> None:
    session = _session()
    if session.new or session.dirty or session.deleted or _FLUSHED in session.info:
        raise RuntimeError("a transaction that was to only read has written something, which is not committed")
    session.commit()


def _marking(mark: str, view: Callable[P, R]) -> Callable[P, R]:
    @wraps(view)
    def marked(*args: P.args, **kwargs: P.kwargs) -> R:
        setattr(g, mark, True)
        return view(*args, **kwargs)

    return marked


def _note_flush(session: Session, _: object) -> None:
    session.info[_FLUSHED] = True


def _note_commit(session: Session) -> None:
    session.info.pop(_FLUSHED, None)
    session.info[_COMMITTED] = session.info.pop(_CALLBACKS, [])


def _call_back(session: Session, transaction: SessionTransaction) -> None:
    """Now, as the connection has been given back: a callback may take long, and others need connections meanwhile."""
    if transaction.parent is not None:
        return
    for callback in session.info.pop(_COMMITTED, []):
        try:
            callback()
        except Exception:  # what is committed is done, whatever comes afterwards
            logger.exception("a callback failed after the commit")


def _forget(session: Session) -> None:
    session.info.pop(_FLUSHED, None)
    session.info.pop(_CALLBACKS, None)


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session
