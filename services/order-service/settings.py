"""What the order service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

import shopkit.settings


@dataclass(frozen=True, kw_only=True)
class Settings(shopkit.settings.Settings):
    port: int = 5005
    database_uri: str = field(default="sqlite:///orders.db", repr=False)
    profile_service_url: str = "http://127.0.0.1:5002"
    product_service_url: str = "http://127.0.0.1:5003"
    cart_service_url: str = "http://127.0.0.1:5004"
    service_client_id: str = "order-service"
    service_client_secret: str = field(repr=False)
