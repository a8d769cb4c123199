"""What every payment provider can do, and with which values and errors."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from shopkit.errors import PaymentRequired, UpstreamTimeout

VOIDED = "voided"
CARD_DECLINED = "card_declined"
REASONS = {
    CARD_DECLINED: "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
    "expired_card": "The card has expired.",
    "authentication_required": "The card's bank wants its holder to confirm the payment; use another card.",
    VOIDED: "The payment was given up before it was made.",
}


@dataclass(frozen=True)
class Payment:
    """What is to be paid: `key` makes asking twice charge once, `amount` is in minor units."""

    key: uuid.UUID
    token: str
    amount: int
    currency: str


@dataclass(frozen=True)
class Charge:
    """What became of a payment: money was taken unless it was `declined`, which is the reason then."""

    id: str
    amount: int
    currency: str
    declined: str | None = None
    refunded: bool = False


class PaymentDeclined(PaymentRequired):
    """The provider said no; the buyer may try another payment method."""

    @classmethod
    def because(cls, reason: str) -> Self:
        """With a reason that is the buyer's business; a bank's others, as that a card is stolen, are not."""
        code = reason if reason in REASONS else CARD_DECLINED
        return cls(REASONS[code], code=code)


class PaymentUnknown(UpstreamTimeout):
    """The provider did not answer: the money may have been taken or not. `void` settles it, guessing does not."""

    code = "payment_unknown"


class PaymentProvider(Protocol):
    """Each payment has a key of ours, under which it is made once however often it is asked for.

    Only PaymentDeclined says that no money was taken and none will be. After anything else that `charge` raises, ask.
    """

    name: str

    def charge(self, payment: Payment) -> Charge:
        """Take the money, once for a key.

        :raise PaymentDeclined: the provider said no, and says so again when asked again; or the payment was voided.
        :raise PaymentUnknown: no answer.
        :raise UpstreamFailed: the provider did not take the request.
        """

    def find(self, key: uuid.UUID) -> Charge | None:
        """What became of a payment; None if nothing was charged, which is not final: it may still be under way.

        :raise PaymentUnknown: no answer, or the provider has not decided yet.
        :raise UpstreamFailed: the provider did not take the request.
        """

    def void(self, key: uuid.UUID) -> Charge | None:
        """What became of a payment; None if nothing was charged, and then nothing ever will be under this key.

        :raise PaymentUnknown: no answer, or the provider has not decided yet.
        :raise UpstreamFailed: the provider did not take the request.
        """

    def charges(self, since: datetime) -> Mapping[uuid.UUID, Charge]:
        """All that was charged or declined since then, by the keys of the payments.

        :raise PaymentUnknown: no answer.
        :raise UpstreamFailed: the provider did not take the request.
        """

    def refund(self, key: uuid.UUID) -> None:
        """Give back all that was charged, once; that there is nothing to give back is fine.

        :raise PaymentUnknown: no answer, or the provider has not decided yet.
        :raise UpstreamFailed: the provider did not take the request.
        """
