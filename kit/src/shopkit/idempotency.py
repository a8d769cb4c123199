"""`Idempotency-Key`: a request that is sent again acts once, and is answered as it was the first time.

The key is written, with the answer, in the transaction in which the view acts, and as its last statement: either both
are there or neither is, whenever a process ends, and of two requests at once one acts. Nothing is claimed beforehand,
so nobody waits for a process that has died.
"""

import hmac
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import wraps
from hashlib import sha256
from http import HTTPStatus
from typing import Any, TypeVar, cast

import orjson
import sqlalchemy as sa
from flask import Flask, Response, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event

from shopkit import retention
from shopkit.auth import current_user
from shopkit.database import UtcDateTime, insert, now
from shopkit.errors import Conflict, Invalid
from shopkit.quotas import DAY, TooManyToday
from shopkit.settings import ServiceSettings
from shopkit.transactions import only_reads, reading

TABLE = "idempotency_keys"
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = "keep_answers_hours"  # the setting
MOST_BYTES = 16 * 1024  # of an answer, compressed
MOST_A_DAY = 1000  # keys of one person, staff excepted
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A request that is sent again with the same key acts once, and its answer is that of the first.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}

_KEY = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location", "Link")

View = TypeVar("View", bound=Callable[..., Any])


class InUse(Conflict):
    """The first request is still running. It says when to ask again, so it is never kept as an answer itself."""

    code = "idempotency_key_in_use"
    headers = {"Retry-After": "1"}


class Reused(Invalid):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(f"This {HEADER} came with another body before; a different request needs a key of its own.")


class NotKept(Conflict):
    code = "answer_not_kept"


def keep_keys(db: SQLAlchemy) -> None:
    """Give a service with idempotent views its table: of each key a digest, the body's fingerprint, and the answer."""
    table = sa.Table(
        TABLE,
        db.metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("body", sa.LargeBinary),  # compressed; none if it was too large
        sa.Column("user_id", sa.Integer),  # none in rows from before it was noted
        sa.Index(f"ix_{TABLE}_user_id_expires_at", "user_id", "expires_at"),
    )
    retention.goes(table.c.expires_at)
    event.listen(db.session, "before_commit", _refuse_commit_of_view)


def init_app(app: Flask, db: SQLAlchemy, settings: ServiceSettings) -> None:
    """Let a service that keeps keys know for how long."""
    if TABLE in db.metadata.tables:
        app.config[KEPT.upper()] = getattr(settings, KEPT)


def idempotent(view: View) -> View:
    """Mark a view of one transaction, for signed-in people, whose repetition acts once if it has a key.

    The view may ask other services before its transaction begins, and it does not commit: that is done here, with a
    key or without. An error undoes what the view did. The answer is kept, so it must not contain a secret.
    Answers that are not final are not kept: failures on our side, and whatever says when to ask again.
    A customer has `MOST_A_DAY` keys in a day; afterwards requests with further keys are a 429.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Any:
        _take_key()
        known = _replay() if current_key() else None
        return _run(view, *args, **kwargs) if known is None else known

    return cast(View, _mark(once))


def takes_key(view: View) -> View:
    """Mark a view that keeps its key, `current_key()`, and the request's `fingerprint()` in a row of its own."""

    @wraps(view)
    def with_key(*args: Any, **kwargs: Any) -> Any:
        _take_key()
        return view(*args, **kwargs)

    return cast(View, _mark(with_key))


def is_idempotent(app: Flask, endpoint: str) -> bool:
    return hasattr(app.view_functions[endpoint], "takes_key")


def current_key() -> str | None:
    """The key of the idempotent request that is running, if it has one."""
    key: str | None = g.get("idempotency_key")
    return key


def fingerprint(secret: str = "") -> str:
    """Of the body, however its members are ordered.

    :param secret: for bodies that could be guessed from it, as card numbers can; once it is changed, all seem new.
    """
    body = request.get_data()
    with suppress(ValueError, TypeError):  # not JSON, or none at all
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return hmac.digest(secret.encode(), body, "sha256").hex()


def _mark(view: Callable[..., Any]) -> Callable[..., Any]:
    view.takes_key = True  # type: ignore[attr-defined]
    return view


def _take_key() -> None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid.field(HEADER, "must be 1 to 255 visible ASCII characters")
    g.idempotency_key = key


def _run(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Response:
    """Let the view act, and commit what it did together with its answer, unless somebody else was first."""
    session = _session()
    answer = _answer_of(view, *args, **kwargs)
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        session.rollback()
    if current_key() and _is_final(answer) and not _keep(answer):
        session.rollback()
        if (theirs := _replay()) is None:  # its time ended between two statements
            raise InUse(f"A request with this {HEADER} has just ended; send it again.")
        return theirs
    session.commit()
    return answer


def _answer_of(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Response:
    """What the client will get, be it an error."""
    g.idempotent_view_runs = True
    try:
        return current_app.make_response(view(*args, **kwargs))
    except Exception as error:  # Flask's own handlers say which have an answer, and raise the others again
        return current_app.make_response(current_app.handle_user_exception(error))
    finally:
        g.idempotent_view_runs = False


def _refuse_commit_of_view(_: object) -> None:
    if g.get("idempotent_view_runs") and not only_reads():
        raise RuntimeError("an idempotent view does not commit: what it does is committed together with its key")


def _keep(answer: Response) -> bool:
    """Write down key and answer, not yet committed; false if somebody else's are there."""
    table, moment = _table(), now()
    body = zlib.compress(answer.get_data())
    values: dict[str, Any] = {
        "id": _whose_and_what_for(),
        "user_id": current_user().id,
        "fingerprint": _fingerprint(),
        "expires_at": moment + current_app.config[KEPT.upper()],
        "status": answer.status_code,
        "headers": {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers},
        "body": body if len(body) <= MOST_BYTES else None,
    }
    _session().flush()  # what the view has not sent yet goes first
    inserting = insert(table).values(values)
    replacing = inserting.on_conflict_do_update(
        index_elements=["id"],
        set_={name: inserting.excluded[name] for name in values},
        where=table.c.expires_at <= moment,
    )
    return _session().scalar(replacing.returning(table.c.id)) is not None


def _replay() -> Response | None:
    """What was answered to this key, if it is known.

    :raise Reused: it came with another body.
    :raise NotKept: the answer was too large.
    :raise TooManyToday: it is not known, and would be one more than somebody may have in a day.
    """
    table, moment = _table(), now()
    asked = sa.select(table).where(table.c.id == _whose_and_what_for(), table.c.expires_at > moment)
    with reading():
        known = _session().execute(asked).one_or_none()
        first = _first_of_too_many(moment) if known is None else None
    if first is not None:
        raise TooManyToday.again(MOST_A_DAY, "idempotency keys", first, moment)
    if known is None:
        return None
    if known.fingerprint != _fingerprint():
        raise Reused
    if known.body is None:
        raise NotKept(
            f"The request with this {HEADER} was answered with {known.status}, and that answer was too large to be "
            "kept; look at what it was about."
        )
    return current_app.response_class(zlib.decompress(known.body), known.status, {**known.headers, REPLAYED: "true"})


def _first_of_too_many(moment: datetime) -> datetime | None:
    """When a person's first key of today was used, if they have as many as there may be."""
    if current_user().is_staff:
        return None
    keys, kept = _table().c, current_app.config[KEPT.upper()]
    today = sa.select(keys.expires_at).where(keys.user_id == current_user().id, keys.expires_at > moment + kept - DAY)
    first = _session().scalar(today.order_by(keys.expires_at.desc()).offset(MOST_A_DAY - 1).limit(1))
    return None if first is None else first - kept


def _is_final(answer: Response) -> bool:
    """A 401 here is another service's, for whom the token ended in the meantime: with a new one it may go well."""
    asks_again = answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    failed = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not (failed or asks_again or "Retry-After" in answer.headers)


def _whose_and_what_for() -> str:
    scope = [current_user().id, request.method, str(request.url_rule), request.path, current_key()]
    return sha256(orjson.dumps(scope)).hexdigest()


def _fingerprint() -> str:
    return fingerprint(current_app.config["SECRET_KEY"])


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session


def _table() -> sa.Table:
    table: sa.Table = current_app.extensions["sqlalchemy"].metadata.tables[TABLE]
    return table
