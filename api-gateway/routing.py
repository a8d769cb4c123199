"""Which service answers which path. A path that is not in the table does not exist for the outside."""

from dataclasses import dataclass
from urllib.parse import unquote

import shop_services

SERVICES = {each.name: each.prefixes for each in shop_services.SERVICES}
# In front of any path; removed, as `auth` is, before the path goes to the service.
API = "api"
AUTH = "auth"
SOCKET_IO = "socket.io"
# What services keep to themselves. Only behind `auth` could one ask for it; elsewhere no prefix leads there.
HIDDEN = frozenset({"validate", "token", "internal", "metrics", "health", "openapi.json"})

_SERVICE_OF = {prefix: service for service, prefixes in SERVICES.items() for prefix in prefixes}


@dataclass(frozen=True)
class Route:
    """The way to a service.

    :param target: what to ask it for, spelt as the client spelt it.
    :param removed_prefix: what was removed in front of that.
    :param first_segment: the prefix of the table that led there.
    """

    service: str
    target: str
    removed_prefix: str
    first_segment: str

    @property
    def is_socket_io(self) -> bool:
        """Whether requests belong together and need the same instance of the service."""
        return self.first_segment == SOCKET_IO


def find_route(target: str) -> Route | None:
    """Find the way for a request's target, just as it was sent.

    The decoded segments decide; what a service might read in another way than we do leads nowhere.
    """
    if "#" in target:  # no part of a target; servers disagree on what to make of it
        return None
    path, question_mark, query = target.partition("?")
    root, *segments = path.split("/")
    names = [unquote(each) for each in segments]
    removed = [API] if names[:1] == [API] else []
    first = next(iter(names[len(removed) :]), "")
    if first == AUTH:
        removed.append(AUTH)
    rest = names[len(removed) :]
    if root or not target.isascii() or first not in _SERVICE_OF or _is_hidden(rest) or _is_ambiguous(rest):
        return None
    return Route(
        service=_SERVICE_OF[first],
        target="/" + "/".join(segments[len(removed) :]) + question_mark + query,
        removed_prefix="".join(f"/{each}" for each in removed),
        first_segment=first,
    )


def _is_hidden(names: list[str]) -> bool:
    return bool(names) and names[0].lower() in HIDDEN


def _is_ambiguous(names: list[str]) -> bool:
    start = "".join(names[:2])
    return (
        "" in names[:-1]
        or not {".", ".."}.isdisjoint(names)
        or not start.isprintable()
        or not {"/", "\\"}.isdisjoint(start)
    )
