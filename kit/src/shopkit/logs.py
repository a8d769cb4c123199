"""JSON lines on standard error: one a request, each with the request id that all services share.

With LOG_FILE, as the launcher sets it, standard error is that file, and LOG_MAX_BYTES bounds it.
"""

import logging
import logging.config
import os
import re
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask, Response, g, has_request_context, request

from shopkit.log_files import LogFile
from shopkit.settings import SettingsError

MAX_BYTES = 10 * 1024 * 1024
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_QUIET_PATHS = ("/health", "/metrics")

_request_id: ContextVar[str] = ContextVar("request_id", default="")

logger = logging.getLogger("shop.access")


def request_id() -> str:
    """The id of what is being worked on; a fresh one outside a request, so that calls to others can be traced too."""
    if not _request_id.get():
        _request_id.set(uuid.uuid4().hex)
    return _request_id.get()


def new_request_id() -> None:
    """Begin something that has nothing to do with what was worked on before."""
    _request_id.set(uuid.uuid4().hex)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON; what was passed as `extra={"fields": {…}}` stands beside the message."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": _request_id.get() or None,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


def config(service: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: every logger's lines, gunicorn's too, through one JSON handler."""
    # Warnings of urllib3 tell whole URLs, secrets of their queries included; what failed is said by who asked.
    mute = {"urllib3": {"handlers": [], "level": "ERROR"}}
    # Our own line a request says more than gunicorn's; Alembic tells its whole life.
    quiet = {"handlers": [], "propagate": True, "level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter, "service": service}},
        "handlers": {"standard error": {**_standard_error(), "formatter": "json"}},
        "root": {"level": "INFO", "handlers": ["standard error"]},
        "loggers": {"gunicorn.error": {**quiet, "level": "INFO"}, "gunicorn.access": quiet, "alembic": quiet, **mute},
    }


def _standard_error() -> dict[str, Any]:
    path = os.environ.get("LOG_FILE")
    if not path:
        return {"class": "logging.StreamHandler"}
    text = os.environ.get("LOG_MAX_BYTES", "").strip() or str(MAX_BYTES)
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError("LOG_MAX_BYTES does not make sense: it has to be a whole number above zero.")
    return {"()": LogFile, "path": path, "max_bytes": int(text)}


def set_up(service: str) -> None:
    logging.config.dictConfig(config(service))
    # What our lines do not tell need not be found out for each (logging's HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def begin_request(sent: str) -> None:
    """Take over the id that came with a request, if it is a sane one."""
    _request_id.set(sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex)


def finish_request(method: str, path: str, status: int, seconds: float, user_id: int | None = None) -> None:
    """Write the one line about it; with its path and never its query, into which people paste secrets."""
    level = logging.DEBUG if path.startswith(_QUIET_PATHS) else logging.INFO
    fields = {
        "method": method,
        "path": path,
        "status": status,
        "milliseconds": round(seconds * 1000, 1),
        "user_id": user_id,
    }
    logger.log(level, "%s %s %s", method, path, status, extra={"fields": fields})


def _begin() -> None:
    g.started = time.perf_counter()
    begin_request(request.headers.get("X-Request-ID", ""))


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    user_id = g.user.id if has_request_context() and "user" in g else None
    finish_request(request.method, request.path, response.status_code, time.perf_counter() - g.started, user_id)
    return response
