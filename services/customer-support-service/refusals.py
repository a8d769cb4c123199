"""What is said over sockets to whom something is refused: what HTTP would answer."""

import sys
from typing import Any

from flask import current_app
from werkzeug.exceptions import InternalServerError


def problem_of(error: Exception) -> dict[str, Any]:
    try:
        response = current_app.handle_user_exception(error)
    except Exception:  # a bug, which HTTP would answer with a 500 too
        current_app.log_exception(sys.exc_info())
        response = current_app.handle_user_exception(InternalServerError())
    problem: dict[str, Any] = current_app.make_response(response).get_json()
    return problem


def in_short(problem: dict[str, Any]) -> dict[str, Any]:
    """For events, which have no status."""
    return {name: problem[name] for name in ("code", "error", "errors") if name in problem}
