"""What the customer support service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field

from shopkit.settings import KEEP_ANSWERS, KEEP_HANDLED, Days, Hours, ServiceSettings, SettingsError

ASYNC_MODES = ("gevent", "threading", "eventlet")
KEEP_TICKETS = Days(3 * 365)


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5006
    database_uri: str = field(default="sqlite:///support.db", repr=False)
    redis_url: str = field(default="", repr=False)
    # empty: whatever fits the server this runs on
    socketio_async_mode: str = ""
    keep_handled_days: Days = KEEP_HANDLED
    keep_answers_hours: Hours = KEEP_ANSWERS
    keep_tickets_days: Days = KEEP_TICKETS

    def __post_init__(self) -> None:
        if self.socketio_async_mode not in ("", *ASYNC_MODES):
            raise SettingsError(f"SOCKETIO_ASYNC_MODE does not make sense as one of {', '.join(ASYNC_MODES)}.")
