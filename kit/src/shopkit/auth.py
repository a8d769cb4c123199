"""Who is calling, according to the auth service, and who may: nobody unless the route says otherwise.

A route without a mark is for signed-in people. `@public` opens it to everyone, `@only("admin")` narrows it, and what
lies under `/internal/` is for the shop's own services alone, whatever its mark.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from shopkit.errors import NotAllowed, NotSignedIn
from shopkit.http_client import ServiceClient

CUSTOMER, SUPPORT, ADMIN, SERVICE = "customer", "support", "admin", "service"
PEOPLE = frozenset({CUSTOMER, SUPPORT, ADMIN})
STAFF = frozenset({SUPPORT, ADMIN})
EVERYONE: frozenset[str] = frozenset()
INTERNAL = "/internal/"

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class User:
    """Whoever called; a service's account has the id 0, which no person has.

    :param session_id: of the login that the token is from; empty if nobody said.
    :param expires_at: when the token does; None if nobody said.
    """

    id: int
    username: str
    email: str
    role: str
    session_id: str = field(default="", compare=False)
    expires_at: datetime | None = field(default=None, compare=False)

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF


WhoIs = Callable[[str], User]
"""Takes an access token and says whose it is, or raises NotSignedIn."""


def ask_auth(auth_service: ServiceClient) -> WhoIs:
    """Ask the auth service about every token, every time: a logout holds from the next request on."""

    def who_is(token: str) -> User:
        said = auth_service.call("POST", "/validate", token=token)
        expires_at = datetime.fromisoformat(said["expires_at"]) if "expires_at" in said else None
        return User(**said["user"], session_id=said.get("session_id", ""), expires_at=expires_at)

    return who_is


def public(view: View) -> View:
    """Open a route to everyone, signed in or not."""
    return _mark(view, EVERYONE)


def only(*roles: str) -> Callable[[View], View]:
    """Narrow a route to these roles."""
    return lambda view: _mark(view, frozenset(roles))


def allowed_roles(app: Flask, endpoint: str, rule: str) -> frozenset[str]:
    """The roles that may use a route; EVERYONE, the empty set, asks for no token at all."""
    if rule.startswith(INTERNAL):
        return frozenset({SERVICE})
    roles: frozenset[str] = getattr(app.view_functions[endpoint], "roles", PEOPLE)
    return roles


def init_app(app: Flask, who_is: WhoIs) -> None:
    app.extensions["who_is"] = who_is
    app.before_request(_guard)


def who_is(token: str) -> User:
    """Whose token this is, for doors other than HTTP requests.

    :raise NotSignedIn: nobody's.
    """
    ask: WhoIs = current_app.extensions["who_is"]
    return ask(token)


def bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn("Sign in: this needs a bearer token.")
    return token.strip()


def current_user() -> User:
    user: User = g.user
    return user


def _guard() -> None:
    if request.url_rule is None or request.endpoint is None:
        return  # no such route: the 404 or 405 follows
    roles = allowed_roles(current_app, request.endpoint, request.url_rule.rule)
    if roles is EVERYONE:
        return
    g.user = who_is(bearer_token())
    if g.user.role not in roles:
        raise NotAllowed("This is not for your account.")


def _mark(view: View, roles: frozenset[str]) -> View:
    view.roles = roles  # type: ignore[attr-defined]
    return view
