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

API_VERSION = "2025-03-31.basil"  # a newer library must not change what we send and get
CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0

logger = logging.getLogger(__name__)
logging.getLogger("stripe").setLevel(logging.WARNING)  # it logs every request and answer


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
        intent_id, voided = _begin(payment.key)
        if voided:
            raise PaymentDeclined.because(VOIDED)
        intent = self._retrieve(intent_id) if intent_id else self._create(payment)
        if intent.status == "requires_confirmation":
            intent = self._confirm(intent, payment.key)
        if intent.status == "requires_action":
            self._cancel(intent)
            raise PaymentDeclined.because("authentication_required")
        charge = _charge_of(intent)
        if charge is None:
            raise _why_not_charged(intent)
        if charge.declined:
            raise PaymentDeclined.because(charge.declined)
        return charge

    def find(self, key: uuid.UUID) -> Charge | None:
        intent_id, _ = _look_up(key)
        if intent_id is None:
            return None
        intent = self._retrieve(intent_id)
        if intent.status == "processing":
            raise _why_not_charged(intent)
        return _charge_of(intent)

    def void(self, key: uuid.UUID) -> Charge | None:
        intent_id = _void_unless_made(key)
        if intent_id is None:
            return None
        intent = self._retrieve(intent_id)
        if _charge_of(intent) is None and intent.status != "canceled":
            intent = self._cancel(intent)
        charge = _charge_of(intent)
        if charge is None and intent.status != "canceled":
            raise _why_not_charged(intent)
        return charge

    def charges(self, since: datetime) -> Mapping[uuid.UUID, Charge]:
        """Of the intents that other shops have made on the same account, we know nothing."""
        found = {}
        with _as_our_errors():
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
        with _as_our_errors():
            try:
                self._stripe.refunds.create({"payment_intent": charge.id}, {"idempotency_key": f"refund-{key}"})
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise

    def _create(self, payment: Payment) -> stripe.PaymentIntent:
        """An intent that moves no money yet, remembered; if somebody else was faster, theirs."""
        with _as_our_errors():
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
        remembered, voided = _remember(payment.key, intent.id)
        if voided:
            raise PaymentDeclined.because(VOIDED)
        return intent if remembered == intent.id else self._retrieve(str(remembered))

    def _confirm(self, intent: stripe.PaymentIntent, key: uuid.UUID) -> stripe.PaymentIntent:
        with _as_our_errors():
            try:
                return self._stripe.payment_intents.confirm(
                    intent.id, {"expand": ["latest_charge"]}, {"idempotency_key": f"confirm-{key}"}
                )
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                _log(error)
        return self._retrieve(intent.id)  # declined, or voided or confirmed by somebody else at this moment

    def _cancel(self, intent: stripe.PaymentIntent) -> stripe.PaymentIntent:
        with _as_our_errors():
            try:
                return self._stripe.payment_intents.cancel(intent.id)
            except stripe.InvalidRequestError as error:
                _log(error)
        return self._retrieve(intent.id)  # somebody else has confirmed or cancelled it at this moment

    def _retrieve(self, intent_id: str) -> stripe.PaymentIntent:
        with _as_our_errors():
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


def _why_not_charged(intent: stripe.PaymentIntent) -> ShopError:
    if intent.status == "canceled":
        return PaymentDeclined.because(VOIDED)
    if intent.status == "requires_confirmation":
        return UpstreamFailed("The payment provider did not take the payment.")
    return PaymentUnknown("The payment provider has not decided yet.")


@contextmanager
def _as_our_errors() -> Iterator[None]:
    """Turn Stripe's errors into the shop's; its own words, among them parts of keys and cards, go nowhere."""
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


def _begin(key: uuid.UUID) -> tuple[str | None, bool]:
    """What is known of a payment; from now on at least that there is one."""
    _insert(key, voided=False)
    return _look_up(key)


def _look_up(key: uuid.UUID) -> tuple[str | None, bool]:
    """The intent of a payment, if it has one, and whether it is voided."""
    with db.engine.begin() as connection:
        found = sa.select(StripePayment.intent, StripePayment.voided).where(StripePayment.key == key)
        row = connection.execute(found).one_or_none()
    return (None, False) if row is None else (row.intent, row.voided)


def _remember(key: uuid.UUID, intent_id: str) -> tuple[str | None, bool]:
    _change(key, intent=intent_id)
    return _look_up(key)


def _void_unless_made(key: uuid.UUID) -> str | None:
    """The intent of a payment; if it has none, it will never have one."""
    if not _insert(key, voided=True):
        _change(key, voided=True)
    return _look_up(key)[0]


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
