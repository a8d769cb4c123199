"""What the gateway reads from its environment, beyond what every service does."""

import re
from dataclasses import dataclass, field, make_dataclass
from math import inf
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import shop_services
import shopkit.settings
from limits.buckets import Rate
from limits.rate_limits import Rates
from routing import SERVICES

_ADDRESS = re.compile(r"http://([\w.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?")
_PUBLIC = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[\w.~-]+)*/?", re.ASCII)


class PerService(dict[str, float]):
    """`30,order=60`: a number above zero for all services, and others for some."""

    def __missing__(self, service: str) -> float:
        return self[""]

    @classmethod
    def parse(cls, text: str) -> Self:
        given = cls()
        for part in text.split(","):
            name, _, number = part.rpartition("=")
            service = f"{name.strip()}-service" if name else ""
            if service not in {"", *SERVICES}:
                raise ValueError(f"there is no {service}")
            try:
                given[service] = float(number)
            except ValueError:
                raise ValueError("it is a number, or several like 30,order=60") from None
            if not 0 < given[service] < inf:
                raise ValueError("numbers must be above zero")
        if "" not in given:
            raise ValueError("it needs a number for all services, like 30,order=60")
        return given


class Urls(str):
    """`http://a:5003,http://b:5003`: the addresses of a service."""

    @property
    def each(self) -> list[str]:
        return [part.strip().rstrip("/") for part in self.split(",") if part.strip()]

    @classmethod
    def parse(cls, text: str) -> Self:
        urls = cls(text)
        if not urls.each or not all(map(_ADDRESS.fullmatch, urls.each)):
            raise ValueError("an address of a service looks like http://host:port")
        return urls


class PublicUrl(str):
    """`https://shop.example.com` or `https://example.com/shop`: what people call the shop."""

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _PUBLIC.fullmatch(text):
            raise ValueError("it looks like https://shop.example.com, perhaps with a path")
        return cls(text.rstrip("/"))


class OriginList(frozenset[str]):
    """`https://shop.example.com,https://…`: whose pages may use the shop; `*` is everybody's."""

    @classmethod
    def parse(cls, text: str) -> Self:
        origins = [part.strip().rstrip("/").lower() for part in text.split(",") if part.strip()]
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
                raise ValueError("an origin looks like https://shop.example.com, without a path")
        return cls(origins)


class RedisUrl(str):
    """`redis://host:6379/0`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        if not text.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("it begins with redis://, rediss:// or unix://")
        return cls(text)


class Count(int):
    """A whole number from zero."""

    @classmethod
    def parse(cls, text: str) -> Self:
        if not text.isdecimal():
            raise ValueError("it has to be a whole number from zero")
        return cls(text)


if TYPE_CHECKING:
    from shopkit.settings import Settings as _Addresses
else:
    # AUTH_SERVICE_URL and so on, one for each service of the table.
    _Addresses = make_dataclass(
        "_Addresses",
        [(each.address_setting.lower(), Urls, Urls(each.address)) for each in shop_services.SERVICES],
        bases=(shopkit.settings.Settings,),
        frozen=True,
        kw_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class Settings(_Addresses):
    port: int = 5000
    public_url: PublicUrl = PublicUrl()
    frontend_url: OriginList = OriginList({"http://localhost:3000"})
    cors_origins: OriginList = OriginList(
        f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173)
    )
    trusted_proxies: Count = Count(0)
    connect_timeout: PerService = field(default_factory=lambda: PerService.parse("2"))
    read_timeout: PerService = field(default_factory=lambda: PerService.parse("30,order=60"))
    max_in_flight: PerService = field(default_factory=lambda: PerService.parse("200,product=64,customer-support=50"))
    max_in_flight_per_address: PerService = field(default_factory=lambda: PerService.parse("16"))
    rate_limit: Rate | None = Rate(50.0, 300)
    sign_in_rate_limit: Rate | None = Rate(2 / 60, 10)
    sign_in_address_rate_limit: Rate | None = Rate(30 / 60, 100)
    address_rate_limit: Rate | None = Rate(500.0, 3000)
    registration_rate_limit: Rate | None = Rate(100 / 86_400, 100)
    redis_url: RedisUrl = field(default=RedisUrl(), repr=False)
    max_body_bytes: Count = Count(10 * 1024 * 1024)
    max_spool_bytes: Count = Count(256 * 1024 * 1024)
    max_sockets: Count = Count(3000)
    max_sockets_per_address: Count = Count(200)

    @property
    def upstream_urls(self) -> dict[str, list[str]]:
        """Where the services of the routing table are, by name."""
        return {each.name: getattr(self, each.address_setting.lower()).each for each in shop_services.SERVICES}

    @property
    def rates(self) -> Rates:
        return Rates(
            self.rate_limit,
            self.sign_in_rate_limit,
            self.sign_in_address_rate_limit,
            self.address_rate_limit,
            self.registration_rate_limit,
        )

    @property
    def origins(self) -> frozenset[str]:
        """The origins, other than our own, whose pages may use the shop."""
        return self.frontend_url | self.cors_origins
