"""What the cart service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

from shopkit.settings import KEEP_ANSWERS, KEEP_HANDLED, Days, Hours, ServiceSettings

KEEP_CARTS = Days(90)


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5004
    database_uri: str = field(default="sqlite:///cart.db", repr=False)
    product_service_url: str = "http://127.0.0.1:5003"
    service_client_id: str = "cart-service"
    service_client_secret: str = field(repr=False)
    keep_handled_days: Days = KEEP_HANDLED
    keep_answers_hours: Hours = KEEP_ANSWERS
    keep_carts_days: Days = KEEP_CARTS
