"""The service of this folder while somebody works on it: `flask --app shopkit.develop run --debug`.

With `--debug` one process watches the files, and another one serves and is begun anew after each change of the code.
The first of them prepares the database, once; the one that serves runs the jobs.
"""

import logging

from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from shopkit import background, prepare


def create_app() -> Flask:
    app = prepare.load_app()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # our own line a request says more
    if not is_running_from_reloader():
        prepare.at_start(app)
    if is_running_from_reloader() or not get_debug_flag():
        background.start(app)
    return app
