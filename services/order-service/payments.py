"""Taking money and giving it back: the sandbox provider, which keeps a ledger of its own and never moves real money.

What a token does is written in it, as the profile service made it from a test card: `sandbox_succeeds_…`,
`sandbox_card_declined_…`, `sandbox_insufficient_funds_…`.
"""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from models import db
from shopkit.database import Created
from shopkit.errors import PaymentRequired

_REASONS = {
    "card_declined": "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
}


class PaymentDeclined(PaymentRequired):
    """The provider said no; the buyer may try another payment method."""


@dataclass(frozen=True)
class Payment:
    """What is to be paid: `key` makes asking twice charge once, `amount` is in minor units."""

    key: uuid.UUID
    token: str
    amount: int
    currency: str


class SandboxCharge(Created, db.Model):
    """A line of the sandbox's ledger."""

    __tablename__ = "sandbox_charges"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    key: Mapped[uuid.UUID] = mapped_column(unique=True)
    amount: Mapped[int] = mapped_column(sa.BigInteger)
    currency: Mapped[str] = mapped_column(sa.String(3))
    declined: Mapped[str | None] = mapped_column(sa.String(40))
    refunded: Mapped[bool] = mapped_column(default=False)


def charge(payment: Payment) -> str:
    """Charge once for a key, however often it is asked, and return the provider's reference.

    :raise PaymentDeclined: the provider said no, and says so again when asked again.
    """
    made = _charge_of(payment.key) or _new_charge(payment)
    if made.declined:
        raise PaymentDeclined(_REASONS.get(made.declined, "The payment was declined."), code=made.declined)
    return made.id


def refund(key: uuid.UUID) -> None:
    """Give back all that was charged under a key, once however often it is asked."""
    db.session.execute(sa.update(SandboxCharge).where(SandboxCharge.key == key).values(refunded=True))
    db.session.commit()


def _charge_of(key: uuid.UUID) -> SandboxCharge | None:
    made: SandboxCharge | None = db.session.scalar(sa.select(SandboxCharge).filter_by(key=key))
    return made


def _new_charge(payment: Payment) -> SandboxCharge:
    made = SandboxCharge(
        id=f"sandbox_{uuid.uuid4().hex}",
        key=payment.key,
        amount=payment.amount,
        currency=payment.currency,
        declined=next((reason for reason in _REASONS if reason in payment.token), None),
    )
    db.session.add(made)
    try:
        db.session.commit()
    except IntegrityError:  # asked twice at the same moment: the first one counts
        db.session.rollback()
        return db.session.scalars(sa.select(SandboxCharge).filter_by(key=payment.key)).one()
    return made
