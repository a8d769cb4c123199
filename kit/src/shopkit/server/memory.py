"""Memory that a crowd needed goes back to the system when the crowd has gone."""

import gc
from contextlib import suppress

CROWD = 50  # connections


class Trimmer:
    """Asks the C library to return what it keeps for later; where it cannot, nothing happens."""

    def __init__(self) -> None:
        self._peak = 0

    def look(self, connections: int, most: int) -> None:
        """To be told now and then how many connections there are, and how many at most there were since."""
        self._peak = max(self._peak, most)
        if connections * 4 > self._peak or self._peak < CROWD:
            return
        self._peak = connections
        gc.collect()
        import ctypes  # most processes never need it

        with suppress(OSError, AttributeError):  # it is the GNU C library's own
            ctypes.CDLL(None).malloc_trim(0)
