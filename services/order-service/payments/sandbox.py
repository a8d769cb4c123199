"""A payment provider that never moves real money. Its ledger stands apart from the orders, as a real one's would.

What paying with a token does is written in the token, as the profile service made it from a test card:

    sandbox_succeeds_…, sandbox_card_declined_…, sandbox_insufficient_funds_…
    sandbox_timeout_charged_…       the money is taken, but no answer comes
    sandbox_timeout_not_charged_…   no answer comes, and nothing happened
"""

import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from payments.provider import CARD_DECLINED, VOIDED, Charge, Payment, PaymentDeclined, PaymentUnknown
from settings import Settings
from shopkit import retention
from shopkit.database import UtcDateTime, now, set_pragmas

TIMEOUT_CHARGED, TIMEOUT_NOT_CHARGED = "timeout_charged", "timeout_not_charged"
_DECLINED = (CARD_DECLINED, "insufficient_funds")
_KINDS = ("succeeds", TIMEOUT_CHARGED, TIMEOUT_NOT_CHARGED, *_DECLINED)

ledger = sa.Table(
    "sandbox_ledger",
    sa.MetaData(),
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("key", sa.Uuid(), nullable=False, unique=True),
    sa.Column("amount", sa.BigInteger(), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("declined", sa.String(40)),
    sa.Column("refunded", sa.Boolean(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
)

retention.stays("they are the provider's books", ledger)

_CHARGE = ledger.c.id, ledger.c.amount, ledger.c.currency, ledger.c.declined, ledger.c.refunded


class SandboxProvider:
    """Every step is one statement, which the ledger's unique key makes safe beside any other process."""

    name = "sandbox"

    def __init__(self, settings: Settings) -> None:
        self._url = ledger_url(settings)

    def charge(self, payment: Payment) -> Charge:
        kind = next((kind for kind in _KINDS if payment.token.startswith(f"sandbox_{kind}_")), CARD_DECLINED)
        charge = self._find_line(payment.key)
        if charge is None:
            if kind == TIMEOUT_NOT_CHARGED:
                raise PaymentUnknown("The payment provider did not answer in time.")
            declined = kind if kind in _DECLINED else None
            charge = self._write_once(payment.key, payment.amount, payment.currency, declined)
            if kind == TIMEOUT_CHARGED:
                raise PaymentUnknown("The payment provider did not answer in time.")
        if charge.declined:
            raise PaymentDeclined.because(charge.declined)
        return charge

    def find(self, key: uuid.UUID) -> Charge | None:
        return _unless_voided(self._find_line(key))

    def void(self, key: uuid.UUID) -> Charge | None:
        return _unless_voided(self._write_once(key, 0, "", VOIDED))

    def charges(self, since: datetime) -> Mapping[uuid.UUID, Charge]:
        written = sa.select(ledger.c.key, *_CHARGE).where(ledger.c.created_at >= since)
        with self._ledger() as connection:
            charges = {key: Charge(*charge) for key, *charge in connection.execute(written)}
        return {key: charge for key, charge in charges.items() if charge.declined != VOIDED}

    def refund(self, key: uuid.UUID) -> None:
        charged = sa.and_(ledger.c.key == key, ledger.c.declined.is_(None))
        with self._ledger() as connection:
            connection.execute(sa.update(ledger).where(charged).values(refunded=True))

    @cached_property
    def engine(self) -> sa.Engine:
        """The ledger, made when it is first used; each statement is a transaction of its own."""
        engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        weakref.finalize(self, engine.dispose)
        if engine.dialect.name == "sqlite":
            Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
            sa.event.listen(engine, "connect", _make_durable)
        with engine.connect() as connection:
            try:
                connection.execute(sa.schema.CreateTable(ledger, if_not_exists=True))
            except (IntegrityError, ProgrammingError):  # PostgreSQL, when another process makes it at this moment
                connection.execute(sa.select(ledger).limit(0))
        return engine

    @contextmanager
    def _ledger(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection
        except OperationalError as error:
            raise PaymentUnknown("The payment provider did not answer.") from error

    def _find_line(self, key: uuid.UUID) -> Charge | None:
        with self._ledger() as connection:
            row = connection.execute(sa.select(*_CHARGE).where(ledger.c.key == key)).one_or_none()
        return None if row is None else Charge(*row)

    def _write_once(self, key: uuid.UUID, amount: int, currency: str, declined: str | None) -> Charge:
        """The line of this key: ours, or that of whoever was faster."""
        line = Charge(f"sandbox_{uuid.uuid4().hex}", amount, currency, declined)
        values = {**vars(line), "key": key, "created_at": now()}
        try:
            with self._ledger() as connection:
                connection.execute(sa.insert(ledger).values(values))
        except IntegrityError:
            return self._find_line(key) or line  # lines are never deleted
        return line


def ledger_url(settings: Settings) -> sa.URL:
    """Where the ledger is if nothing else is said: in a file beside that of the orders, or in the same PostgreSQL."""
    if settings.sandbox_ledger_uri:
        url = sa.make_url(settings.sandbox_ledger_uri)
    else:
        url = sa.make_url(settings.database_uri)
        if url.get_backend_name() == "sqlite":
            url = url.set(database=str(Path(str(url.database)).with_name("sandbox.db")))
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(__file__).parents[1] / "instance" / str(url.database)))
    return url


def _unless_voided(charge: Charge | None) -> Charge | None:
    return None if charge is None or charge.declined == VOIDED else charge


def _make_durable(connection: Any, _: object) -> None:
    set_pragmas(connection, durable=True)
