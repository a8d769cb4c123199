"""What is dear because passwords are: signing in, opening accounts, and what ends and renews sessions."""

import os

from hostile.attacker import Attacker
from hostile.wire import request


def wrong_passwords_of_one_address(attack: Attacker) -> None:
    """A hundred at once."""
    attack.crowd(100, lambda me: _guess(attack, 0, f"person{me}"))


def wrong_passwords_of_twenty_addresses(attack: Attacker) -> None:
    """Three hundred at once."""
    attack.crowd(300, lambda me: _guess(attack, me % 20, f"person{me}"))


def wrong_passwords_of_somebody_who_exists(attack: Attacker) -> None:
    attack.crowd(100, lambda me: _guess(attack, me, "alice"))


def registrations(attack: Attacker) -> None:
    def register(me: int) -> None:
        while attack.goes_on():
            name = f"r{os.urandom(6).hex()}"
            body = {"username": name, "email": f"{name}@example.com", "password": "a password of ours"}
            attack.ask(request("POST", "/register", body), me % 20)

    attack.crowd(60, register)


def refreshes(attack: Attacker) -> None:
    """One's own refresh token and made-up ones, as often as it goes."""

    def refresh(me: int) -> None:
        while attack.goes_on():
            attack.ask(request("POST", "/refresh", token=attack.target.refresh_token), me)
            attack.ask(request("POST", "/refresh", token=os.urandom(60).hex()), me)

    attack.crowd(20, refresh)


def logouts(attack: Attacker) -> None:
    """The end of a session is written down; a session that has ended ends again."""

    def log_out(me: int) -> None:
        while attack.goes_on():
            attack.ask(request("POST", "/logout", token=attack.target.token), me)
            attack.ask(request("POST", "/auth/logout", token=os.urandom(60).hex()), me)

    attack.crowd(20, log_out)


def _guess(attack: Attacker, address: int, name: str) -> None:
    while attack.goes_on():
        attack.ask(request("POST", "/login", {"username": name, "password": os.urandom(6).hex()}), address)


ATTACKS = (
    wrong_passwords_of_one_address,
    wrong_passwords_of_twenty_addresses,
    wrong_passwords_of_somebody_who_exists,
    registrations,
    refreshes,
    logouts,
)
