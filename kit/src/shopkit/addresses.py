"""Whose network an address belongs to, for who counts by addresses."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address


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
