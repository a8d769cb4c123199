"""What the customer support service reads from its environment, beyond what every service does."""

from dataclasses import dataclass, field
from typing import Self

from shopkit.settings import KEEP_ANSWERS, KEEP_HANDLED, Days, Hours, ServiceSettings

KEEP_TICKETS = Days(3 * 365)


class AsyncMode(str):
    """On what Socket.IO runs; empty: whatever fits the server this runs on."""

    @classmethod
    def parse(cls, text: str) -> Self:
        if text not in ("gevent", "threading", "eventlet"):
            raise ValueError("it is gevent, threading or eventlet")
        return cls(text)


FITTING = AsyncMode()


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    port: int = 5006
    database_uri: str = field(default="sqlite:///support.db", repr=False)
    redis_url: str = field(default="", repr=False)
    socketio_async_mode: AsyncMode = FITTING
    keep_handled_days: Days = KEEP_HANDLED
    keep_answers_hours: Hours = KEEP_ANSWERS
    keep_tickets_days: Days = KEEP_TICKETS
