"""What the gateway reads from its environment, beyond what every service does."""

from dataclasses import dataclass

import shopkit.settings


@dataclass(frozen=True, kw_only=True)
class Settings(shopkit.settings.Settings):
    port: int = 5000
    profile_service_url: str = "http://127.0.0.1:5002"
    product_service_url: str = "http://127.0.0.1:5003"
    cart_service_url: str = "http://127.0.0.1:5004"
    order_service_url: str = "http://127.0.0.1:5005"
    support_service_url: str = "http://127.0.0.1:5006"
    frontend_url: str = "http://localhost:3000"
    cors_origins: tuple[str, ...] = ()
    connect_timeout: float = 2.0
    read_timeout: float = 30.0
    max_body_bytes: int = 10 * 1024 * 1024
    max_sockets: int = 3500

    @property
    def service_urls(self) -> dict[str, str]:
        """Where the services of the routing table are, by name."""
        urls = {
            "auth-service": self.auth_service_url,
            "profile-service": self.profile_service_url,
            "product-service": self.product_service_url,
            "cart-service": self.cart_service_url,
            "order-service": self.order_service_url,
            "customer-support-service": self.support_service_url,
        }
        return {name: url.rstrip("/") for name, url in urls.items()}

    @property
    def origins(self) -> frozenset[str]:
        """The origins, other than our own, whose pages may use the shop."""
        return frozenset(origin.rstrip("/").lower() for origin in (self.frontend_url, *self.cors_origins))
