"""The attacks by name; each takes the attacker and ends when its time is over."""

from collections.abc import Callable

from hostile.attacker import Attacker
from hostile.attacks import accounts, connections, floods, sockets, values

ATTACKS: dict[str, Callable[[Attacker], None]] = {
    attack.__name__: attack for module in (values, connections, floods, sockets, accounts) for attack in module.ATTACKS
}
