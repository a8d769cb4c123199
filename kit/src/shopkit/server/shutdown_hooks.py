"""What must end when this process is told to stop, because it would not end by itself: open sockets.

gunicorn's gevent worker says so; other servers do not wait for open sockets.
"""

from collections.abc import Callable

_callbacks: list[Callable[[], None]] = []


def at_stop(callback: Callable[[], None]) -> None:
    """Have this called, once, in a signal handler: it must not block."""
    _callbacks.append(callback)


def run() -> None:
    for callback in _callbacks:
        callback()
