"""The route at which Stripe reports what has become of payments."""

import uuid
from collections.abc import Callable

import sqlalchemy as sa
import stripe
from flask import request
from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import IntegrityError

from models import db
from payments.models import StripeEvent, StripePayment
from shopkit.auth import public
from shopkit.errors import BadRequest
from shopkit.service import ViewResult
from shopkit.transactions import reading

PAYMENT_EVENTS = frozenset({"payment_intent.succeeded", "payment_intent.payment_failed", "charge.refunded"})

OnPaymentEvent = Callable[[uuid.UUID, str], object]


def webhooks(secret: str, on_payment_event: OnPaymentEvent) -> APIBlueprint:
    """Where Stripe sends what has become of payments.

    :param on_payment_event: called with the key of a payment of ours and the type of the event; it may be called more
        than once for an event, and before whoever makes the payment has got the answer.
    """
    api = APIBlueprint("webhooks", __name__, abp_tags=[Tag(name="webhooks")])

    @api.post("/webhooks/stripe", responses={200: None})
    @public
    def stripe_event() -> ViewResult:
        """Take an event of Stripe's, whose signature shows that it is."""
        event = _verified(secret)
        key = _key_of(event) if event.type in PAYMENT_EVENTS else None
        if key is not None and not _is_known(event.id):
            on_payment_event(key, event.type)
            _remember(event)
        return "", 200

    return api


def _verified(secret: str) -> stripe.Event:
    try:
        signature = request.headers.get("Stripe-Signature")
        event: stripe.Event = stripe.Webhook.construct_event(request.get_data(), signature, secret)
    except (ValueError, TypeError, stripe.SignatureVerificationError):  # TypeError: letters beyond ASCII
        raise BadRequest("This is not signed by Stripe.", code="bad_signature") from None
    return event


def _is_known(event_id: str) -> bool:
    with reading():
        return db.session.get(StripeEvent, event_id) is not None


def _key_of(event: stripe.Event) -> uuid.UUID | None:
    """The payment that an event is about, unless it is another shop's on the same account."""
    subject = event.data.object
    intent_id = subject["id"] if subject["object"] == "payment_intent" else subject["payment_intent"]
    if intent_id is None:
        return None
    with reading():
        key: uuid.UUID | None = db.session.scalar(sa.select(StripePayment.key).filter_by(intent=intent_id))
    return key


def _remember(event: stripe.Event) -> None:
    db.session.add(StripeEvent(id=event.id, type=event.type))
    try:
        db.session.commit()
    except IntegrityError:  # it came twice at the same moment
        db.session.rollback()
