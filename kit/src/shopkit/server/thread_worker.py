"""A worker of threads, which refuses as the apps do."""

from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from shopkit.server import refusals


class Worker(ThreadWorker):
    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        with suppress(OSError):
            client.sendall(refusals.answer_error(exc, self.log))
