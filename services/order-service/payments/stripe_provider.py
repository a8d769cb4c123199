"""Payments by Stripe.

A payment is a PaymentIntent, which is made first and moves no money, is remembered under our key, and then confirmed.
So there is nothing to search for afterwards: an intent that is not remembered was never confirmed, and one that is can
be asked about by its id for ever, while Stripe forgets idempotency keys after a day. Stripe confirms an intent once at
most and never after it was cancelled, which is what voiding does.

An intent is not confirmed `off_session`: the buyer has just asked for it. But we have no page on which a bank could
question the buyer, so a payment that needs that is cancelled and declined.
"""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import requests
import sqlalchemy as sa
import stripe
from requests.adapters import BaseAdapter
from sqlalchemy.exc import IntegrityError

from models import db
from payments.models import StripePayment
from payments.provider import CARD_DECLINED, REASONS, VOIDED, Charge, Payment, PaymentDeclined, PaymentUnknown
from settings import Settings
from shopkit.errors import ShopError, UpstreamFailed

API_VERSION = "2025-03-31.basil"  # a newer library must not change what we say and hear
CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0

logger = logging.getLogger(__name__)
logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells of every request and answer


class StripeProvider:
    name = "stripe"

    def __init__(self, settings: Settings, adapter: BaseAdapter | None = None) -> None:
        session = requests.Session()
        if adapter is not None:
            session.mount("https://", adapter)
            session.mount("http://", adapter)
        self._stripe = stripe.StripeClient(
            settings.stripe_api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": settings.stripe_api_base},
            http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS), session=session),
            max_network_retries=0,
        ).v1

    def charge(self, payment: Payment) -> Charge:
        intent_id, voided = _begun(payment.key)
        if voided:
            raise PaymentDeclined.because(VOIDED)
        intent = self._retrieved(intent_id) if intent_id else self._created(payment)
        if intent.status == "requires_confirmation":
            intent = self._confirmed(intent, payment.key)
        if intent.status == "requires_action":
            self._cancelled(intent)
            raise PaymentDeclined.because("authentication_required")
        charge = _charge_of(intent)
        if charge is None:
            raise _not_charged(intent)
        if charge.declined:
            raise PaymentDeclined.because(charge.declined)
        return charge

    def find(self, key: uuid.UUID) -> Charge | None:
        intent_id, _ = _known(key)
        if intent_id is None:
            return None
        intent = self._retrieved(intent_id)
        if intent.status == "processing":
            raise _not_charged(intent)
        return _charge_of(intent)

    def void(self, key: uuid.UUID) -> Charge | None:
        intent_id = _voided_unless_made(key)
        if intent_id is None:
            return None
        intent = self._retrieved(intent_id)
        if _charge_of(intent) is None and intent.status != "canceled":
            intent = self._cancelled(intent)
        charge = _charge_of(intent)
        if charge is None and intent.status != "canceled":
            raise _not_charged(intent)
        return charge

    def charges(self, since: datetime) -> Mapping[uuid.UUID, Charge]:
        """Of the intents that other shops have made on the same account, we know nothing."""
        found = {}
        with _in_our_words():
            wanted: stripe.params.PaymentIntentListParams = {
                "created": {"gte": int(since.timestamp())},
                "limit": 100,
                "expand": ["data.latest_charge"],
            }
            for intent in self._stripe.payment_intents.list(wanted).auto_paging_iter():
                charge, ours = _charge_of(intent), intent.metadata.to_dict()
                if charge is not None and "order" in ours:
                    found[uuid.UUID(ours["order"])] = charge
        return found

    def refund(self, key: uuid.UUID) -> None:
        charge = self.find(key)
        if charge is None or charge.declined or charge.refunded:
            return
        with _in_our_words():
            try:
                self._stripe.refunds.create({"payment_intent": charge.id}, {"idempotency_key": f"refund-{key}"})
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise

    def _created(self, payment: Payment) -> stripe.PaymentIntent:
        """An intent that moves no money yet, remembered; if somebody else was faster, theirs."""
        with _in_our_words():
            try:
                method = self._stripe.payment_methods.retrieve(payment.token)
            except stripe.InvalidRequestError:  # there is no such card, or none of ours
                raise PaymentDeclined.because(CARD_DECLINED) from None
            wanted: stripe.params.PaymentIntentCreateParams = {
                "amount": payment.amount,
                "currency": payment.currency.lower(),
                "payment_method": payment.token,
                "payment_method_types": ["card"],  # type: ignore[typeddict-unknown-key] # called otherwise later
                "metadata": {"order": str(payment.key)},
            }
            if method.customer is not None:  # a card that is kept for a customer can be used with that customer only
                wanted["customer"] = str(method.customer)
            intent = self._stripe.payment_intents.create(wanted, {"idempotency_key": str(payment.key)})
        remembered, voided = _remembered(payment.key, intent.id)
        if voided:
            raise PaymentDeclined.because(VOIDED)
        return intent if remembered == intent.id else self._retrieved(str(remembered))

    def _confirmed(self, intent: stripe.PaymentIntent, key: uuid.UUID) -> stripe.PaymentIntent:
        with _in_our_words():
            try:
                return self._stripe.payment_intents.confirm(
                    intent.id, {"expand": ["latest_charge"]}, {"idempotency_key": f"confirm-{key}"}
                )
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                _log(error)
        return self._retrieved(intent.id)  # declined, or voided or confirmed by somebody else at this moment

    def _cancelled(self, intent: stripe.PaymentIntent) -> stripe.PaymentIntent:
        with _in_our_words():
            try:
                return self._stripe.payment_intents.cancel(intent.id)
            except stripe.InvalidRequestError as error:
                _log(error)
        return self._retrieved(intent.id)  # somebody else has confirmed or cancelled it at this moment

    def _retrieved(self, intent_id: str) -> stripe.PaymentIntent:
        with _in_our_words():
            return self._stripe.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})


def _charge_of(intent: stripe.PaymentIntent) -> Charge | None:
    """What an intent has come to; None if it is still open, or was cancelled."""
    currency = intent.currency.upper()
    if intent.status == "succeeded":
        charge = intent.latest_charge
        refunded = isinstance(charge, stripe.Charge) and charge.refunded
        return Charge(intent.id, intent.amount, currency, refunded=refunded)
    if intent.last_payment_error is None:
        return None
    said = intent.last_payment_error.to_dict()
    reason = said.get("decline_code") or said.get("code")
    return Charge(intent.id, intent.amount, currency, declined=reason if reason in REASONS else CARD_DECLINED)


def _not_charged(intent: stripe.PaymentIntent) -> ShopError:
    if intent.status == "canceled":
        return PaymentDeclined.because(VOIDED)
    if intent.status == "requires_confirmation":
        return UpstreamFailed("The payment provider did not take the payment.")
    return PaymentUnknown("The payment provider has not decided yet.")


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Stripe's own words, among them parts of keys and cards, go nowhere."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.APIError) as error:
        _log(error)
        raise PaymentUnknown("The payment provider did not answer.") from None
    except stripe.StripeError as error:
        _log(error)
        raise UpstreamFailed("The payment provider did not take the request.") from None


def _log(error: stripe.StripeError) -> None:
    logger.warning("stripe: %s %s %s %s", type(error).__name__, error.http_status, error.code, error.request_id)


def _begun(key: uuid.UUID) -> tuple[str | None, bool]:
    """What is known of a payment, from now on at least that there is one."""
    _insert(key, voided=False)
    return _known(key)


def _known(key: uuid.UUID) -> tuple[str | None, bool]:
    """The intent of a payment, if it has one, and whether it is voided."""
    with db.engine.begin() as connection:
        found = sa.select(StripePayment.intent, StripePayment.voided).where(StripePayment.key == key)
        row = connection.execute(found).one_or_none()
    return (None, False) if row is None else (row.intent, row.voided)


def _remembered(key: uuid.UUID, intent_id: str) -> tuple[str | None, bool]:
    _change(key, intent=intent_id)
    return _known(key)


def _voided_unless_made(key: uuid.UUID) -> str | None:
    """The intent of a payment; if it has none, it will never have one."""
    if not _insert(key, voided=True):
        _change(key, voided=True)
    return _known(key)[0]


def _insert(key: uuid.UUID, *, voided: bool) -> bool:
    try:
        with db.engine.begin() as connection:
            connection.execute(sa.insert(StripePayment).values(key=key, voided=voided))
    except IntegrityError:
        return False
    return True


def _change(key: uuid.UUID, **values: object) -> None:
    """Only what has neither an intent nor is voided changes, so that one of two who come at once wins."""
    untouched = StripePayment.key == key, StripePayment.intent.is_(None), StripePayment.voided.is_(False)
    with db.engine.begin() as connection:
        connection.execute(sa.update(StripePayment).where(*untouched).values(values))
