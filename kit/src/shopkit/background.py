"""Work that a service does again and again beside its requests: relaying events, sweeping up what was interrupted.

Every worker process runs its jobs in a thread; a job itself must be safe beside itself in another process.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread

from flask import Flask

from shopkit import logs
from shopkit.server.shutdown_hooks import at_stop

logger = logging.getLogger(__name__)


# Who is asked to run soon waits so long for others who ask: on a busy service one run does for all of them.
GATHERING_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """A function without arguments, called in the app's context every so many seconds."""

    run: Callable[[], object]
    seconds: float
    is_due: Event = field(default_factory=Event, compare=False)


def every(app: Flask, seconds: float, run: Callable[[], object]) -> None:
    """Have the service run a job; it starts when the server does, and not in tests, which call the job themselves."""
    app.extensions.setdefault("jobs", []).append(Job(run, seconds))


def run_soon(app: Flask, run: Callable[[], object]) -> None:
    """Have a job run now rather than when its seconds are over, unless it runs elsewhere or not at all."""
    for job in app.extensions.get("jobs", []):
        if job.run == run:
            job.is_due.set()


def start(app: Flask) -> None:
    """Start the jobs; for a server, once it has forked."""
    stopping = Event()
    at_stop(stopping.set)
    for job in app.extensions.get("jobs", []):
        at_stop(job.is_due.set)
        Thread(target=_repeat, args=(app, job, stopping), name=job.run.__name__, daemon=True).start()


def _repeat(app: Flask, job: Job, stopping: Event) -> None:
    # A little unevenly, so that several processes do not always ask at the same moment.
    while True:
        if job.is_due.wait(job.seconds * random.uniform(0.8, 1.2)):  # noqa: S311
            stopping.wait(GATHERING_SECONDS)
        job.is_due.clear()
        if stopping.is_set():
            return
        logs.new_request_id()
        try:
            with app.app_context():
                job.run()
        except Exception:  # the next run may do better; to stop would be to stop for good
            logger.exception("%s failed", job.run.__name__)
