"""JSON lines on standard error: one a request, each with the request id that all services share.

With LOG_FILE, as the launcher sets it, standard error is that file, and LOG_MAX_BYTES bounds it.
"""

import logging
import logging.config
import math
import os
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
from flask import Flask, Response, g, has_request_context, request

from shopkit.log_files import LogFile
from shopkit.settings import server_count

MAX_BYTES = 10 * 1024 * 1024
MOST_OF_TRACEBACK = 8000  # letters: how it begins and how it ends
MOST_OF_PATH = 200
MOST_CAUSES = 100
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
        self._tracebacks = _Tracebacks()

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
            line |= self._tracebacks.of(record.exc_info, self.formatException)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


class _Tracebacks:
    """One a second of each cause, which is where what was raised; those between them are counted."""

    def __init__(self) -> None:
        self._last: dict[object, tuple[float, int]] = {}  # when one was shown, and how many were left out since

    def of(self, exc_info: Any, in_full: Callable[[Any], str]) -> dict[str, Any]:
        kind, _, traceback = exc_info
        cause = kind, _origin(traceback)
        moment = time.monotonic()
        shown_at, left_out = self._last.pop(cause, (-math.inf, 0))
        if moment - shown_at < 1:
            self._last[cause] = shown_at, left_out + 1
            return {"exception": f"{kind.__name__ if kind else None}, whose traceback was shown less than a second ago"}
        if len(self._last) >= MOST_CAUSES:
            self._last.pop(next(iter(self._last)))
        self._last[cause] = moment, 0
        text = in_full(exc_info)
        if len(text) > MOST_OF_TRACEBACK:
            text = f"{text[: MOST_OF_TRACEBACK // 4]}\n…\n{text[-3 * MOST_OF_TRACEBACK // 4 :]}"
        return {"exception": text, **({"tracebacks_left_out": left_out} if left_out else {})}


def _origin(traceback: TracebackType | None) -> object:
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return traceback and (traceback.tb_frame.f_code, traceback.tb_lineno)


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
    return {"()": LogFile, "path": path, "max_bytes": server_count("LOG_MAX_BYTES", MAX_BYTES)}


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
    path = path[:MOST_OF_PATH]
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
