"""Which services the shop has: the table `services.txt`, which the shell scripts read too."""

from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("services.txt")
_COLUMNS = 8


@dataclass(frozen=True)
class ServiceEntry:
    """A line of the table.

    :param title: what people call it.
    :param server: how gunicorn serves it: `threads`, or `gevent` for what holds many connections open.
    :param address_setting: the setting by which others know where it is: `CART_SERVICE_URL`.
    :param starts_after: what has to be healthy before its container starts.
    :param prefixes: the first segments of paths that the gateway passes on to it.
    :param about: what people find there, in a sentence.
    """

    name: str
    title: str
    port: int
    server: str
    address_setting: str
    starts_after: tuple[str, ...]
    prefixes: tuple[str, ...]
    about: str

    @property
    def folder(self) -> str:
        return self.name if self.name == _GATEWAY else f"services/{self.name}"

    @property
    def address(self) -> str:
        """Where it is if nobody says otherwise: on this machine."""
        return f"http://127.0.0.1:{self.port}"


def port_of(name: str) -> int:
    """The port that a service has if nobody says otherwise; 5000 for what is not in the table."""
    return next((each.port for each in _ALL if each.name == name), GATEWAY.port)


def read(text: str) -> tuple[ServiceEntry, ...]:
    """:raise ValueError: a line is incomplete."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(map(_entry, lines))


def _entry(line: str) -> ServiceEntry:
    cells = ["" if cell == "-" else cell for cell in line.split(None, _COLUMNS - 1)]
    if len(cells) != _COLUMNS:
        raise ValueError(f"a service needs {_COLUMNS} columns: {line}")
    name, title, port, server, address_setting, starts_after, prefixes, about = cells
    return ServiceEntry(name, title, int(port), server, address_setting, _each(starts_after), _each(prefixes), about)


def _each(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(",")) if cell else ()


_GATEWAY = "api-gateway"
_ALL = read(TABLE.read_text())

SERVICES = tuple(each for each in _ALL if each.name != _GATEWAY)
[GATEWAY] = (each for each in _ALL if each.name == _GATEWAY)
