"""Say what an account may do, and open it if there is none: how a shop gets its first administrator.

    python make_admin.py NAME [--email ADDRESS] [--role admin|support|customer] [--password]

The password is asked for, or read from standard input if that is no terminal. It is never an argument, for everybody on
the machine can see those.
"""

import argparse
import sys
from collections.abc import Callable
from getpass import getpass

from pydantic import ValidationError

import hashing
import seed
from accounts import check_password, open_account
from models import db, folded, user_named
from schemas import NewUser
from shop_events import AccountChanged
from shopkit import events, prepare
from shopkit.auth import ADMIN, CUSTOMER, STAFF, SUPPORT
from shopkit.errors import Conflict, Invalid, ShopError, invalid_fields
from shopkit.transactions import end_reading


def main(arguments: list[str]) -> None:
    asked = _parse(arguments)
    app = prepare.main()
    try:
        with app.app_context():
            said = appoint(asked.name, asked.role, asked.email, asked.password)
    except ShopError as error:
        sys.exit(error.message)
    sys.stdout.write(f"{said}\n")


def appoint(
    name: str, role: str, email: str | None = None, new_password: bool = False, ask: Callable[[], str] | None = None
) -> str:
    """Give an account this role, and say what is now so.

    :param email: a new account needs one.
    :param new_password: an account that is there gets a new password too.
    """
    ask = ask or _ask_for_password
    user = user_named(name)
    if user is None:
        return _open(name, role, email, ask)
    if email and folded(email) != user.email_key:
        raise Conflict(f"{user.username} has another e-mail address.")
    known_to_all = role in STAFF and not new_password and hashing.verify(user.password_hash, seed.PASSWORD).fits
    end_reading()  # nothing is locked while somebody types
    password_hash = hashing.hashed(_checked(ask())) if new_password else None
    db.session.refresh(user)
    was, user.role, user.password_hash = user.role, role, password_hash or user.password_hash
    if was != role or new_password:
        events.publish(AccountChanged(user_id=user.id))
    db.session.commit()
    said = f"{user.username} is {role} already." if was == role else f"{user.username} is {role} now, and was {was}."
    if new_password:
        said += " The password is the new one."
    if known_to_all:
        said += " But everybody knows the password, which is the demonstration's: give a new one with --password."
    return said


def _open(name: str, role: str, email: str | None, ask: Callable[[], str]) -> str:
    if not email:
        raise Invalid(f"There is no account {name}. To open it, say its address: --email ADDRESS")
    try:
        new = NewUser(username=name, email=email, password="")
    except ValidationError as error:
        invalid_fields(error)
    end_reading()
    new.password = ask()
    user = open_account(new, role)
    return f"{user.username} has an account now, and is {role}."


def _checked(password: str) -> str:
    check_password(password)
    return password


def _ask_for_password() -> str:
    if not sys.stdin.isatty():
        return _as_text(sys.stdin.readline().rstrip("\r\n"))
    try:
        password, again = getpass("Password: "), getpass("Once more: ")
    except (EOFError, KeyboardInterrupt):
        raise Invalid("No password was given; nothing has changed.") from None
    if again != password:
        raise Invalid("These were two different passwords; nothing has changed.")
    return password


def _as_text(line: str) -> str:
    """With what could never be sent as JSON nobody could sign in."""
    if "\0" in line or any("\ud800" <= letter <= "\udfff" for letter in line):
        raise Invalid.field("password", "must be text in UTF-8")
    return line


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make_admin", description="Say what an account may do, or open it.")
    parser.add_argument("name", help="a username, or the e-mail address of an account that is there")
    parser.add_argument("--email", metavar="ADDRESS", help="a new account needs one")
    parser.add_argument("--role", choices=(ADMIN, SUPPORT, CUSTOMER), default=ADMIN)
    parser.add_argument("--password", action="store_true", help="give an account that is there a new password too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
