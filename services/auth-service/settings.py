"""What the auth service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

from shopkit.settings import KEEP_EVENTS, Days, ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5001
    database_uri: str = field(default="sqlite:///auth.db", repr=False)
    profile_service_url: str = "http://127.0.0.1:5002"
    support_service_url: str = "http://127.0.0.1:5006"
    jwt_secret_key: str = field(repr=False)
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    token_leeway_seconds: int = 30
    # name:secret of each service account, separated by commas
    service_clients: tuple[str, ...] = field(default=(), repr=False)
    keep_events_days: Days = KEEP_EVENTS
