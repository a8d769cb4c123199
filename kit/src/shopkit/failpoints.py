"""Places where a test can have this process killed, to see that nothing is lost; inert unless FAILPOINT names one."""

import os
import signal

_chosen = os.environ.get("FAILPOINT", "")


def reach(name: str) -> None:
    """Say that a place has been reached. The chosen one ends the process as a power cut would, without any clean-up."""
    if name == _chosen:
        os.kill(os.getpid(), signal.SIGKILL)
