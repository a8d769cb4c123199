"""The service of this folder while somebody works on it: `flask --app shopkit.develop run --debug`.

With `--debug` one process watches the files, and another one serves and is begun anew after each change of the code.
The first of them prepares the database, once; the one that serves runs the jobs.
"""

import logging
import sys
from importlib import import_module
from pathlib import Path

from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from shopkit import background, logs, prepare
from shopkit.private_files import keep_private


def create_app() -> Flask:
    keep_private("instance")
    sys.path.insert(0, str(Path.cwd()))
    app: Flask = import_module("app").app
    logs.set_up(app.config["SERVICE_NAME"])
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # our own line a request says more
    if not is_running_from_reloader() and Path("migrations").is_dir():
        prepare.main()
    if is_running_from_reloader() or not get_debug_flag():
        background.start(app)
    return app
