"""What the order service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field
from datetime import timedelta

from models import LONGEST_STEP
from shopkit.settings import KEEP_EVENTS, KEEP_HANDLED, Days, ServiceSettings, SettingsError

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5005
    database_uri: str = field(default="sqlite:///orders.db", repr=False)
    profile_service_url: str = "http://127.0.0.1:5002"
    product_service_url: str = "http://127.0.0.1:5003"
    cart_service_url: str = "http://127.0.0.1:5004"
    support_service_url: str = "http://127.0.0.1:5006"
    # how long a checkout that stopped half-way is left alone before it is settled, and how often one looks for such
    checkout_lease_seconds: float = 120.0
    recovery_seconds: float = 5.0
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

    def __post_init__(self) -> None:
        longest_step = LONGEST_STEP.total_seconds()
        if not longest_step < self.checkout_lease_seconds <= DAY.total_seconds():
            raise SettingsError(
                f"CHECKOUT_LEASE_SECONDS must be above {longest_step:g}, as a lease outlasts every step,"
                f" and at most {DAY.total_seconds():g}."
            )
        if not 0 < self.recovery_seconds <= DAY.total_seconds():
            raise SettingsError(f"RECOVERY_SECONDS must be above 0 and at most {DAY.total_seconds():g}.")
