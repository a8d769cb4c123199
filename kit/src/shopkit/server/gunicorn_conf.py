"""How gunicorn serves a service: threads, behind pooled clients (`-c python:shopkit.server.gunicorn_conf`).

The app is loaded once, before the workers are forked, and frozen, so that they share its memory.
"""

import gc
import os
import tempfile
from pathlib import Path
from typing import Any

from dotenv import load_dotenv
from gunicorn.glogging import Logger as GunicornLogger

import shop_services
from shopkit import log_files, logs
from shopkit.private_files import keep_private
from shopkit.settings import server_count, server_setting

load_dotenv(Path(".env"))
keep_private("instance")

name = proc_name = Path.cwd().name
bind = f"{server_setting('HOST', '127.0.0.1')}:{server_count('PORT', shop_services.port_of(name))}"
worker_class: str | type = "shopkit.server.thread_worker.Worker"
workers = server_count("WEB_CONCURRENCY", 1)
threads = server_count("THREADS", 8)
keepalive = 75  # longer than any client keeps an idle connection, so that it is the client who closes
graceful_timeout = 5
preload_app = True
control_socket_disable = True
_shm = Path("/dev/shm")  # noqa: S108 - memory: a heartbeat must not wait for a disk
worker_tmp_dir = str(_shm) if _shm.is_dir() else None

if workers > 1:
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="shop-metrics-"))

logconfig_dict = logs.config(name)
logs.set_up(name)


class Logger(GunicornLogger):
    """Our own line a request says more than the access log, which would be made for each and thrown away."""

    access_log_enabled = False

    def reopen_files(self) -> None:
        log_files.reopen_all()


logger_class = Logger


def on_starting(server: Any) -> None:
    """Prepare the database, in a process of its own: what that needs is not kept in memory afterwards."""
    if not Path("migrations").is_dir():
        return
    pid = os.fork()
    if pid == 0:
        _prepare_and_exit()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise SystemExit(f"{name}: the database could not be prepared; the reason stands above.")


def when_ready(server: Any) -> None:
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    from shopkit import background

    background.start(worker.wsgi)


def child_exit(server: Any, worker: Any) -> None:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _prepare_and_exit() -> None:
    from shopkit import prepare

    try:
        prepare.at_start(prepare.load_app())
    except BaseException:  # SettingsError and KeyboardInterrupt too: this process must not go on as a second gunicorn
        logs.logger.exception("preparing the database failed")
        os._exit(1)
    os._exit(0)
