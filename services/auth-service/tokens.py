"""Tokens: a pair a session for people, a short one for the shop's own services.

All tokens of one login carry the same session id (`sid`). Logging out revokes the session, refreshing revokes the
refresh token that was used, and both hold from the next request on, because everybody asks here about every token.
"""

import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Flask, current_app
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError
from sqlalchemy.exc import IntegrityError

from models import User, db, is_revoked, revoke
from settings import Settings
from shopkit import auth
from shopkit.errors import NotSignedIn

SERVICE_TOKEN = timedelta(minutes=10)
ACCESS, REFRESH = "access", "refresh"


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
    app.config["JWT_SECRET_KEY"] = settings.jwt_secret_key
    app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(minutes=settings.access_token_minutes)
    app.config["JWT_REFRESH_TOKEN_EXPIRES"] = timedelta(days=settings.refresh_token_days)
    app.extensions["service_clients"] = dict(each.split(":", 1) for each in settings.service_clients)
    JWTManager(app)


def new_pair(user: User, session_id: str | None = None) -> TokenPair:
    """Tokens for a new session, or the next ones of a session."""
    claims = {"sid": session_id or str(uuid.uuid4())}
    lifetime: timedelta = current_app.config["JWT_ACCESS_TOKEN_EXPIRES"]
    return TokenPair(
        access_token=create_access_token(str(user.id), additional_claims=claims),
        refresh_token=create_refresh_token(str(user.id), additional_claims=claims),
        expires_in=int(lifetime.total_seconds()),
    )


def new_service_token(client_id: str, client_secret: str) -> str:
    """:raise NotSignedIn: no such service account, or another secret."""
    known = current_app.extensions["service_clients"].get(client_id, "")
    if not known or not hmac.compare_digest(known.encode(), client_secret.encode()):
        raise NotSignedIn("The client id or its secret is wrong.")
    return _service_token(client_id)


def own_token(refused: str | None = None) -> str:
    """For this service's own calls to others: a new one each time, whether another was refused or not."""
    return _service_token(current_app.config["SERVICE_NAME"])


def _service_token(name: str) -> str:
    claims = {"sid": str(uuid.uuid4()), "service": True}
    return str(create_access_token(name, additional_claims=claims, expires_delta=SERVICE_TOKEN))


def claims_of(token: str, kind: str | None = None) -> Claims:
    """Read a token, of one kind if it must be.

    :raise NotSignedIn: it is not ours, has expired, was revoked, or is of the other kind.
    """
    try:
        said = decode_token(token)
    except (PyJWTError, JWTExtendedException, ValueError):
        raise NotSignedIn("The token is not valid or has expired.") from None
    if kind not in (None, said["type"]):
        raise NotSignedIn(f"This needs {'an access' if kind == ACCESS else 'a refresh'} token.")
    if is_revoked(said["jti"], said["sid"]):
        raise NotSignedIn("The token has been revoked.")
    return Claims(
        subject=said["sub"],
        token_id=said["jti"],
        session_id=said["sid"],
        kind=said["type"],
        is_service=said.get("service", False),
        expires_at=datetime.fromtimestamp(said["exp"], UTC),
    )


def account_of(claims: Claims) -> User:
    user = db.session.get(User, int(claims.subject))
    if user is None:
        raise NotSignedIn("The account no longer exists.")
    return user


def user_of(token: str) -> auth.User:
    """Whose access token this is: the answer that every service asks for.

    :raise NotSignedIn: nobody's.
    """
    claims = claims_of(token, ACCESS)
    if claims.is_service:
        return auth.User(id=0, username=claims.subject, email="", role=auth.SERVICE)
    user = account_of(claims)
    return auth.User(id=user.id, username=user.username, email=user.email, role=user.role)


def end_session(claims: Claims) -> None:
    """Refuse every token of the session for as long as its last refresh token could live."""
    lifetime: timedelta = current_app.config["JWT_REFRESH_TOKEN_EXPIRES"]
    _revoke_once(claims.session_id, datetime.now(UTC) + lifetime)


def use_up(claims: Claims) -> None:
    """A refresh token serves once."""
    _revoke_once(claims.token_id, claims.expires_at)


def _revoke_once(token_or_session_id: str, until: datetime) -> None:
    revoke(token_or_session_id, until)
    try:
        db.session.commit()
    except IntegrityError:  # somebody did at the same moment
        db.session.rollback()
        raise NotSignedIn("The token has been revoked.") from None
