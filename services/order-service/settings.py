"""What the order service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field
from datetime import timedelta
from math import nan
from typing import Self

from orders.leases import LONGEST_STEP
from shopkit.settings import KEEP_EVENTS, KEEP_HANDLED, Days, ServiceSettings


class Seconds(float):
    """A number of seconds within bounds; a subclass sets its own."""

    above, at_most = 0.0, timedelta(days=1).total_seconds()

    @classmethod
    def parse(cls, text: str) -> Self:
        try:
            seconds = cls(text)
        except ValueError:
            seconds = cls(nan)
        if not cls.above < seconds <= cls.at_most:
            raise ValueError(f"it must be above {cls.above:g} and at most {cls.at_most:g}")
        return seconds


class Lease(Seconds):
    """How long whoever works on an order has it alone; that is longer than any step can take."""

    above = LONGEST_STEP.total_seconds()


LEASE, RECOVERY_PAUSE = Lease(120), Seconds(5)


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5005
    database_uri: str = field(default="sqlite:///orders.db", repr=False)
    profile_service_url: str = "http://127.0.0.1:5002"
    product_service_url: str = "http://127.0.0.1:5003"
    cart_service_url: str = "http://127.0.0.1:5004"
    support_service_url: str = "http://127.0.0.1:5006"
    # how long a checkout that stopped half-way is left alone before it is settled, and how often such are looked for
    checkout_lease_seconds: Lease = LEASE
    recovery_seconds: Seconds = RECOVERY_PAUSE
    # where the sandbox keeps its ledger; empty: beside the orders
    sandbox_ledger_uri: str = field(default="", repr=False)
    # with a key payments go to Stripe, without to the sandbox
    stripe_api_key: str = field(default="", repr=False)
    stripe_webhook_secret: str = field(default="", repr=False)
    stripe_api_base: str = "https://api.stripe.com"
    service_client_id: str = "order-service"
    service_client_secret: str = field(repr=False)
    keep_events_days: Days = KEEP_EVENTS
    keep_handled_days: Days = KEEP_HANDLED
