"""Tokens: a pair a session for people, a short one for the shop's own services.

All tokens of one login carry the same session id (`sid`): they are a family. Logging out ends the session, and so does
a refresh token that comes again later than a moment after its first use, for then somebody else may have it. Both
hold from the next request on, because everybody asks here about every token.
"""

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import jwt
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token

from models import User, db, first_use, is_revoked, revoke
from settings import Settings
from shop_events import SessionEnded
from shopkit import auth, events
from shopkit.database import now
from shopkit.errors import NotSignedIn

SERVICE_TOKEN = timedelta(minutes=10)
# How long after its first use a refresh token may come again: several tabs, or requests, find out at once that the
# access token has expired.
REUSE = timedelta(seconds=10)
ACCESS, REFRESH = "access", "refresh"
ALGORITHM = "HS256"
US = "auth-service"


@dataclass(frozen=True)
class Claims:
    """What a token says, once it is known to be ours and to hold."""

    subject: str
    token_id: str
    session_id: str
    kind: str
    is_service: bool
    expires_at: datetime


@dataclass(frozen=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int


def init_app(app: Flask, settings: Settings) -> None:
    """Let Flask-JWT-Extended, which makes tokens, know what it asks the app for."""
    app.config["JWT_SECRET_KEY"] = settings.jwt_secret_key
    app.config["JWT_ALGORITHM"] = ALGORITHM
    app.config["JWT_ENCODE_NBF"] = False  # a token holds from the beginning, whatever another clock says
    JWTManager(app)


@dataclass(frozen=True)
class Tokens:
    """How tokens are made and read, and when they end.

    :param leeway: by how much the clocks of two instances may differ.
    :param service_clients: the secret of each service account, by its name.
    """

    secret: str = field(repr=False)
    access_lifetime: timedelta
    refresh_lifetime: timedelta
    leeway: timedelta
    service_clients: Mapping[str, str] = field(repr=False)

    @classmethod
    def by(cls, settings: Settings) -> Self:
        return cls(
            secret=settings.jwt_secret_key,
            access_lifetime=timedelta(minutes=settings.access_token_minutes),
            refresh_lifetime=timedelta(days=settings.refresh_token_days),
            leeway=timedelta(seconds=settings.token_leeway_seconds),
            service_clients=dict(each.split(":", 1) for each in settings.service_clients),
        )

    def new_pair(self, user: User, session_id: str | None = None) -> TokenPair:
        """Tokens for a new session, or the next ones of a session."""
        subject, session_id = str(user.id), session_id or str(uuid.uuid4())
        return TokenPair(
            access_token=self._new(ACCESS, subject, session_id, self.access_lifetime),
            refresh_token=self._new(REFRESH, subject, session_id, self.refresh_lifetime),
            expires_in=int(self.access_lifetime.total_seconds()),
        )

    def new_service_token(self, client_id: str, client_secret: str) -> str:
        """:raise NotSignedIn: no such service account, or another secret."""
        known = self.service_clients.get(client_id, "")
        if not known or not hmac.compare_digest(known.encode(), client_secret.encode()):
            raise NotSignedIn("The client id or its secret is wrong.")
        return self._service_token(client_id)

    def own_token(self, refused: str | None = None) -> str:
        """For this service's own calls to others: a new one each time, whether another was refused or not."""
        return self._service_token(US)

    def read(self, token: str) -> Claims:
        """What a token says; its session may have ended.

        :raise NotSignedIn: it is not ours, or has expired.
        """
        try:
            said = jwt.decode(
                token,
                self.secret,
                algorithms=[ALGORITHM],
                leeway=self.leeway,
                # Not when it was made: the clock that said so may have been set back since, or be another machine's.
                options={"verify_iat": False, "require": ["sub", "jti", "sid", "type", "exp"]},
            )
        except (jwt.PyJWTError, ValueError):
            raise NotSignedIn("The token is not valid or has expired.") from None
        return Claims(
            subject=said["sub"],
            token_id=said["jti"],
            session_id=said["sid"],
            kind=said["type"],
            is_service=said.get("service", False),
            expires_at=datetime.fromtimestamp(said["exp"], UTC),
        )

    def claims_of(self, token: str, kind: str) -> Claims:
        """Read a token of this kind.

        :raise NotSignedIn: it is not ours, has expired, is of the other kind, or its session has ended.
        """
        claims = self.read(token)
        if claims.kind != kind:
            raise NotSignedIn(f"This needs {'an access' if kind == ACCESS else 'a refresh'} token.")
        if is_revoked(claims.session_id):
            raise NotSignedIn("The token has been revoked.")
        return claims

    def user_of(self, token: str) -> auth.User:
        """Whose access token this is.

        :raise NotSignedIn: nobody's.
        """
        return user_behind(self.claims_of(token, ACCESS))

    def end_session(self, claims: Claims) -> None:
        """Refuse every token of the session for as long as the longest of them could live, and tell of it."""
        longest = max(claims.expires_at, now() + max(self.access_lifetime, self.refresh_lifetime))
        is_new = revoke(claims.session_id, self._forgettable(longest))
        if is_new and not claims.is_service:
            events.publish(SessionEnded(session_id=claims.session_id, user_id=int(claims.subject)))
        db.session.commit()

    def use(self, claims: Claims) -> None:
        """Note that a refresh token is used. For a moment it may be used again.

        :raise NotSignedIn: it comes too late, and has ended its session.
        :raise TooManyToday: its owner has used too many in a day; this one can be used later.
        """
        moment = now()
        used_at = first_use(claims.token_id, int(claims.subject), moment, self._forgettable(claims.expires_at))
        if used_at is None or moment - used_at > REUSE:
            self.end_session(claims)
            raise NotSignedIn(
                "This refresh token has been used before, so its session has ended: sign in again.",
                code="refresh_token_reused",
            )
        db.session.commit()

    def _service_token(self, name: str) -> str:
        return self._new(ACCESS, name, str(uuid.uuid4()), SERVICE_TOKEN, service=True)

    def _new(self, kind: str, subject: str, session_id: str, lifetime: timedelta, **more: object) -> str:
        create = create_access_token if kind == ACCESS else create_refresh_token
        return str(create(subject, additional_claims={"sid": session_id, **more}, expires_delta=lifetime))

    def _forgettable(self, expires_at: datetime) -> datetime:
        """From when on a token holds nowhere, be it on an instance whose clock is late by as much as is tolerated."""
        return expires_at + 2 * self.leeway


def account_of(claims: Claims) -> User:
    user = db.session.get(User, int(claims.subject))
    if user is None:
        raise NotSignedIn("The account no longer exists.")
    return user


def user_behind(claims: Claims) -> auth.User:
    if claims.is_service:
        return auth.User(id=0, username=claims.subject, email="", role=auth.SERVICE)
    user = account_of(claims)
    return auth.User(id=user.id, username=user.username, email=user.email, role=user.role)
