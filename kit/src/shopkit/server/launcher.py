"""Start several services under gunicorn, quickly and in little memory: what they share is imported once.

    python -m shopkit.server.launcher services/auth-service=threads api-gateway=gevent …

Each kind of server gets one warm process that imports the libraries and then forks a gunicorn for each service, so
that they share those pages of memory. Pid files go to `.run/`, output to `logs/`, both in the current folder. From
its first moment on a service's process has the title and the working folder by which the scripts know it.
"""

import gc
import os
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from shopkit.private_files import keep_private

_WARM = (
    "shopkit.service",
    "shopkit.events",
    "shopkit.service_account",
    "shopkit.paging",
    "gunicorn.app.base",
    "gunicorn.arbiter",
)
_WORKERS = {
    "threads": ("shopkit.server.thread_worker",),
    "gevent": ("gunicorn.workers.ggevent", "flask_cors.core"),
}
_SETTINGS = {"threads": "shopkit.server.gunicorn_conf", "gevent": "shopkit.server.gunicorn_gevent"}


def parse(arguments: list[str]) -> dict[str, list[Path]]:
    """The folders of each kind: `services/cart-service=threads` …"""
    families = defaultdict(list)
    for folder, _, kind in (each.partition("=") for each in arguments):
        families[kind].append(Path(folder))
    return families


def start(families: dict[str, list[Path]]) -> None:
    """Start them and return; whether they are ready is to be asked of them."""
    keep_private(".run", "logs")
    warm = [_start_family(kind, folders) for kind, folders in families.items()]
    for pid in warm:
        os.waitpid(pid, 0)


def _start_family(kind: str, folders: list[Path]) -> int:
    warm = os.fork()
    if warm:
        return warm
    _warm_up(kind)
    runs, logs = Path(".run").absolute(), Path("logs").absolute()
    for folder in [each.absolute() for each in folders]:
        os.chdir(folder)
        setproctitle(f"gunicorn: master [{folder.name}]")
        pid = os.fork()
        if pid == 0:
            _become_gunicorn(kind, logs / f"{folder.name}.log")
        (runs / f"{folder.name}.pid").write_text(str(pid))
    os._exit(0)


def _warm_up(kind: str) -> None:
    if kind == "gevent":
        import_module("gevent.monkey").patch_all()
    for module in (*_WARM, *_WORKERS[kind]):
        import_module(module)
    gc.collect()
    gc.freeze()


def _become_gunicorn(kind: str, log: Path) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, descriptor)
    os.close(output)
    os.environ["LOG_FILE"] = str(log)
    sys.path.insert(0, str(Path.cwd()))
    base = import_module("gunicorn.app.base").BaseApplication

    class Gunicorn(base):  # type: ignore[misc, valid-type]
        """What `gunicorn -c python:… app:create_app()` would be, had it not been imported in another folder."""

        def load_config(self) -> None:
            settings = vars(import_module(_SETTINGS[kind]))
            for name in self.cfg.settings.keys() & settings.keys():
                self.cfg.set(name, settings[name])
            # What the app shares is in this process already; a master that held the app as well would cost more.
            self.cfg.set("preload_app", False)

        def load(self) -> Any:
            return import_module("app").create_app()

    Gunicorn().run()
    os._exit(0)


if __name__ == "__main__":
    start(parse(sys.argv[1:]))
