"""Patches the standard library for eventlet if `SOCKETIO_ASYNC_MODE` asks for it; `app.py` imports this first."""

import os
import warnings
from pathlib import Path

from dotenv import load_dotenv

load_dotenv(Path(".env"))

if os.environ.get("SOCKETIO_ASYNC_MODE") == "eventlet":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks new projects to choose something else
        import eventlet  # type: ignore[import-untyped]

    eventlet.monkey_patch()
