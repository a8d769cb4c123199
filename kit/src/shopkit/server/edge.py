"""What an app that strangers connect to tells its server, which cannot know it: how browsers are spoken to, and who
is a client by himself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def _only_sniffing(_: "WSGIEnvironment") -> Iterable[tuple[str, str]]:
    return [("X-Content-Type-Options", "nosniff")]


@dataclass(frozen=True)
class Edge:
    """Without it a server takes its clients for other servers of the shop.

    :param error_headers: what an error of the server itself says besides. It is told as little of the request as is
        known: at most its origin, as a WSGI environment.
    :param caps_addresses: whether each address is a client's own, so that one need not have hundreds of connections;
        not so behind a proxy, which is one address for everybody.
    """

    error_headers: Callable[["WSGIEnvironment"], Iterable[tuple[str, str]]] = _only_sniffing
    caps_addresses: bool = False


# Under this name a request's environment has a function for the app to call: the connection it came over is not a
# client's own but an application's of the shop, and no longer counts for its address.
UNCAP = "shopkit.uncap"

_edges = [Edge()]


def declare(edge: Edge) -> None:
    """Have the server of this process go by this one."""
    _edges[:] = [edge]


def current() -> Edge:
    return _edges[0]
