"""Which address a request counts for: the peer's, or the visitor's that one of our own applications names."""

from ipaddress import ip_address

from shopkit.addresses import network

__all__ = ["named_visitor", "network"]

MAX_FORWARDED_LENGTH = 500  # characters of `X-Forwarded-For`; each proxy adds about twenty


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
