"""What the product service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

from shopkit.settings import KEEP_ANSWERS, KEEP_EVENTS, KEEP_HANDLED, Days, Hours, ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5003
    database_uri: str = field(default="sqlite:///product.db", repr=False)
    cart_service_url: str = "http://127.0.0.1:5004"
    service_client_id: str = "product-service"
    service_client_secret: str = field(repr=False)
    keep_events_days: Days = KEEP_EVENTS
    keep_handled_days: Days = KEEP_HANDLED
    keep_answers_hours: Hours = KEEP_ANSWERS
