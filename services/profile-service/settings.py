"""What the profile service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

from shopkit.settings import KEEP_ANSWERS, KEEP_HANDLED, Days, Hours, ServiceSettings

SANDBOX = "sandbox"


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5002
    database_uri: str = field(default="sqlite:///profile.db", repr=False)
    payment_provider: str = SANDBOX
    keep_handled_days: Days = KEEP_HANDLED
    keep_answers_hours: Hours = KEEP_ANSWERS
