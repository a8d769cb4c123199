"""Memory that a crowd needed goes back to the system when the crowd has gone."""

from contextlib import suppress

CROWD = 200  # connections


class Trimmer:
    """Asks the C library to return what it keeps for later; where it cannot, nothing happens."""

    def __init__(self) -> None:
        self._peak = 0

    def look(self, connections: int) -> None:
        """To be told now and then how many connections there are."""
        if connections * 4 > self._peak or self._peak < CROWD:
            self._peak = max(self._peak, connections)
            return
        self._peak = connections
        import ctypes  # most processes never need it

        with suppress(OSError, AttributeError):  # it is the GNU C library's own
            ctypes.CDLL(None).malloc_trim(0)
