"""What must happen before other imports, so that the `app.py` of a service with Socket.IO imports this first.

It is eventlet's patches, if `SOCKETIO_ASYNC_MODE` asks for them, and no Redis client, which Socket.IO would load, if
there is no `REDIS_URL`.
"""

import os
import sys
import warnings
from pathlib import Path

from dotenv import load_dotenv

load_dotenv(Path(".env"))

if not os.environ.get("REDIS_URL"):
    sys.modules.setdefault("redis", None)  # type: ignore[arg-type]

if os.environ.get("SOCKETIO_ASYNC_MODE") == "eventlet":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks new projects to choose something else
        import eventlet  # type: ignore[import-untyped]

    eventlet.monkey_patch()
