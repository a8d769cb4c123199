"""`Idempotency-Key`: a request that is sent again acts once, and is answered as it was the first time.

A key is claimed in a transaction of its own before the view runs, and the view's answer is kept in another one after
it; none is open in between. Who dies in between keeps the key only until its lease ends: then a repetition runs the
view again. A view that must not act twice even then finds what it did by `current_key()`.
"""

import hmac
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from hashlib import sha256
from http import HTTPStatus
from typing import Any, TypeVar, cast

import orjson
import sqlalchemy as sa
from flask import Flask, Response, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from shopkit import background
from shopkit.auth import current_user
from shopkit.database import UtcDateTime, now
from shopkit.errors import Conflict, Invalid

TABLE = "idempotency_keys"
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=60)
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A request that is sent again with the same key acts once, and its answer is that of the first.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}

_KEY = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location", "Link")
_SWEEP_SECONDS = 60 * 60
_IN_PASSING, _AT_ONCE = 10, 1000  # rows that are deleted in one transaction
_INSERT: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

View = TypeVar("View", bound=Callable[..., Any])
logger = logging.getLogger(__name__)


class InUse(Conflict):
    """The first request is still running. It says when to ask again, so it is never kept as an answer itself."""

    code = "idempotency_key_in_use"
    headers = {"Retry-After": "1"}


class Reused(Invalid):
    code = "idempotency_key_reused"


@dataclass(frozen=True)
class _Claim:
    """A key that is ours until the lease ends; whoever takes it over then has another `locked_until`."""

    id: str
    locked_until: datetime


def keep_keys(db: SQLAlchemy) -> None:
    """Give a service with idempotent views its table: of each key a digest, the body's fingerprint, and the answer."""
    sa.Table(
        TABLE,
        db.metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("locked_until", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.JSON),
        sa.Column("body", sa.LargeBinary),
    )


def init_app(app: Flask, db: SQLAlchemy) -> None:
    """Sweep the table of a service that has one."""
    if TABLE in db.metadata.tables:
        background.every(app, _SWEEP_SECONDS, delete_expired)


def idempotent(view: View) -> View:
    """Mark a view for signed-in people, whose repetition acts once if it has an `Idempotency-Key`.

    Its answer is kept for a day, so it must not contain a secret. Answers that are not final are not kept, and the key
    is free again: failures on our side, and whatever says when to ask again.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Any:
        if HEADER not in request.headers:
            return view(*args, **kwargs)
        g.idempotency_key = _key()
        claim = _claim()
        if isinstance(claim, Response):
            return claim
        try:
            answer = _answer_of(view, *args, **kwargs)
        except Exception:  # a bug: the key must be free again, whatever it was
            _finish(claim, None)
            raise
        _finish(claim, answer)
        return answer

    once.idempotent = True  # type: ignore[attr-defined]
    return cast(View, once)


def is_idempotent(app: Flask, endpoint: str) -> bool:
    return hasattr(app.view_functions[endpoint], "idempotent")


def current_key() -> str | None:
    """The key of the idempotent request that is running, if it has one."""
    key: str | None = g.get("idempotency_key")
    return key


def delete_expired() -> None:
    """Job: delete the keys whose day is over, some at a time, so that nobody waits long for us."""
    session = _session()
    deleted = _AT_ONCE
    while deleted == _AT_ONCE:
        deleted = _delete_expired(_AT_ONCE)
        session.commit()


def _key() -> str:
    key = request.headers[HEADER]
    if not _KEY.fullmatch(key):
        raise Invalid.field(HEADER, "must be 1 to 255 visible ASCII characters")
    return key


def _claim() -> _Claim | Response:
    """Make the key ours, in one statement: a new one, one whose day is over, or one whose owner did not come back.

    :raise Reused: it came with another body before.
    :raise InUse: whoever has it is at work.
    """
    session, table, moment = _session(), _table(), now()
    values: dict[str, Any] = {
        "id": _whose_and_what_for(),
        "fingerprint": _fingerprint(),
        "locked_until": moment + LEASE,
        "expires_at": moment + KEPT,
        "status": None,
    }
    insert = _INSERT[session.get_bind().dialect.name](table).values(values)
    abandoned = sa.and_(
        table.c.status.is_(None), table.c.locked_until <= moment, table.c.fingerprint == values["fingerprint"]
    )
    upsert = insert.on_conflict_do_update(
        index_elements=["id"],
        set_={name: insert.excluded[name] for name in values},
        where=sa.or_(table.c.expires_at <= moment, abandoned),
    )
    ours = session.scalar(upsert.returning(table.c.id))
    known = None if ours else session.execute(sa.select(table).filter_by(id=values["id"])).one()
    session.commit()
    return _Claim(values["id"], values["locked_until"]) if known is None else _replay(known, values["fingerprint"])


def _replay(known: sa.Row[Any], fingerprint: str) -> Response:
    if known.fingerprint != fingerprint:
        raise Reused(f"This {HEADER} came with another body before; a different request needs a key of its own.")
    if known.status is None:
        raise InUse(f"A request with this {HEADER} is still running.")
    return current_app.response_class(known.body, known.status, {**known.headers, REPLAYED: "true"})


def _answer_of(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Response:
    """What the client will get, be it an error."""
    try:
        return current_app.make_response(view(*args, **kwargs))
    except Exception as error:  # Flask's own handlers say which have an answer, and raise the others again
        return current_app.make_response(current_app.handle_user_exception(error))


def _finish(claim: _Claim, answer: Response | None) -> None:
    """Keep the answer, or free the key if there is none or it is not final; unless somebody has taken over."""
    session, table = _session(), _table()
    ours = table.c.id == claim.id, table.c.locked_until == claim.locked_until
    try:
        session.rollback()  # what the view has not committed never will be
        if answer is not None and _is_final(answer):
            headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
            kept = {"status": answer.status_code, "headers": headers, "body": answer.get_data()}
            session.execute(sa.update(table).where(*ours).values(kept))
        else:
            session.execute(sa.delete(table).where(*ours))
        _delete_expired(_IN_PASSING)
        session.commit()
    except SQLAlchemyError:  # what the view did is done: its answer is the truth, even if we cannot repeat it
        session.rollback()
        logger.exception("an answer was not kept for its %s", HEADER)


def _is_final(answer: Response) -> bool:
    """A 401 here is another service's, for whom the token ended in the meantime: with a new one it may go well."""
    asks_again = answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    failed = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not (failed or asks_again or "Retry-After" in answer.headers)


def _delete_expired(at_most: int) -> int:
    """Not yet committed; what somebody else is deleting or claiming anew is left to them."""
    table = _table()
    expired = sa.select(table.c.id).where(table.c.expires_at <= now()).limit(at_most).with_for_update(skip_locked=True)
    deleted = _session().execute(sa.delete(table).where(table.c.id.in_(expired)))
    return cast(int, deleted.rowcount)


def _whose_and_what_for() -> str:
    scope = [current_user().id, request.method, str(request.url_rule), request.path, current_key()]
    return sha256(orjson.dumps(scope)).hexdigest()


def _fingerprint() -> str:
    """Of the body, however its members are ordered. With a secret, as bodies are that can be guessed: card numbers."""
    body = request.get_data()
    with suppress(ValueError, TypeError):  # not JSON, or none at all
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return hmac.digest(current_app.config["SECRET_KEY"].encode(), body, "sha256").hex()


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session


def _table() -> sa.Table:
    table: sa.Table = current_app.extensions["sqlalchemy"].metadata.tables[TABLE]
    return table
