"""What is known of payments by Stripe; the tables are there whichever provider the shop has."""

import uuid

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from models import db
from shopkit import retention
from shopkit.database import Created


class StripePayment(Created, db.Model):
    """Which PaymentIntent a payment has at Stripe, if it has one already; a voided one will never have any."""

    __tablename__ = "stripe_payments"

    key: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    intent: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    voided: Mapped[bool] = mapped_column(default=False)


class StripeEvent(Created, db.Model):
    """An event of Stripe's that has been dealt with."""

    __tablename__ = "stripe_events"
    __table_args__ = (sa.Index(None, "created_at"),)

    id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(60))


retention.stays("they are the books", StripePayment)
retention.goes(StripeEvent.created_at, "keep_handled_days")
