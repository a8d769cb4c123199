"""Which address a request counts for: the peer's, or the visitor's that one of our own applications names."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

MAX_FORWARDED_LENGTH = 500  # characters of `X-Forwarded-For`; each proxy adds about twenty


@lru_cache(1000)
def network(address: str) -> str:
    """The address to count by; of IPv6 the /64, for one customer usually has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]  # not an address: a trusted proxy wrote it
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed.packed, 64), strict=False))


def named_visitor(forwarded_for: str, trusted_proxies: int) -> str | None:
    """The visitor's address in the `X-Forwarded-For` of an application that asks for it.

    The application writes one address, and each trusted proxy after it appends one. A chain of another length is not
    believed, because part of it may come from a stranger's own header.
    """
    if len(forwarded_for) > MAX_FORWARDED_LENGTH:
        return None
    chain = forwarded_for.split(",")
    if len(chain) != trusted_proxies + 1:
        return None
    try:
        return str(ip_address(chain[0].strip()))
    except ValueError:
        return None
