"""How gunicorn serves what holds thousands of connections open: `gunicorn -c python:shopkit.gunicorn_gevent app:app`"""

from gevent import monkey

monkey.patch_all()  # before anything else, since the app is loaded before the workers are forked

from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import Any  # noqa: E402

from gevent import Timeout, get_hub, getcurrent  # noqa: E402
from gunicorn.workers.ggevent import GeventWorker  # noqa: E402

from shopkit import stopping  # noqa: E402
from shopkit.gunicorn_conf import *  # noqa: E402, F403 - the same settings, but for the worker


class Worker(GeventWorker):
    """Stops when the requests that run are answered; gunicorn's own waits for every idle connection as well."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle: dict[Any, Timeout] = {}

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for the next request of a connection."""
        patience = Timeout(self.cfg.keepalive if self.alive else 0, False)
        self._idle[getcurrent()] = patience
        try:
            with patience:
                yield
        finally:
            self._idle.pop(getcurrent(), None)

    def handle_exit(self, *received: Any) -> None:
        super().handle_exit(*received)
        stopping.stop()
        for greenlet, patience in list(self._idle.items()):
            get_hub().loop.run_callback(greenlet.throw, patience)


worker_class = Worker
workers = 1  # Socket.IO sessions live in one process; more capacity is more instances
worker_connections = 4000
keepalive = 30
