from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import IntegrityError

import tokens
from models import User, db, password_fits, taken, user_named
from schemas import (
    ClientCredentials,
    Credentials,
    Identity,
    Message,
    NewUser,
    ServiceToken,
    SignedIn,
    UserOut,
    Validated,
)
from shopkit import events
from shopkit.auth import bearer_token, public
from shopkit.database import reads_only
from shopkit.errors import Conflict, Invalid, NotSignedIn
from shopkit.service import Answer

PASSWORD_LENGTHS = range(8, 129)

accounts = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="accounts")])
sessions = APIBlueprint("sessions", __name__, abp_tags=[Tag(name="sessions")])


@accounts.post("/register", responses={201: UserOut})
@public
def register(body: NewUser) -> Answer:
    """Open an account."""
    _refuse_taken(body)
    if len(body.password) not in PASSWORD_LENGTHS:
        raise Invalid.field("password", "must have 8 to 128 characters")
    db.session.rollback()  # hashing takes long, and holds no lock meanwhile
    user = User.new(body.username, body.email, body.password)
    db.session.add(user)
    try:
        db.session.flush()
        events.publish("user.registered", {"user_id": user.id, "username": user.username})
        db.session.commit()
    except IntegrityError:  # somebody was faster
        db.session.rollback()
        _refuse_taken(body)
        raise
    return UserOut.model_validate(user), 201


@sessions.post("/login", responses={200: SignedIn})
@public
@reads_only
def login(body: Credentials) -> Answer:
    """Sign in with a username or an e-mail address."""
    user = user_named(body.username)
    fits = password_fits(user, body.password)
    if user is None or not fits:
        raise NotSignedIn("The username or the password is wrong.", code="wrong_credentials")
    return _signed_in(user)


@sessions.post("/logout", responses={200: Message}, security=[{"bearer": []}])
@public
def logout() -> Answer:
    """End the session: its access and refresh tokens are refused from the next request on, by every service."""
    tokens.end_session(tokens.claims_of(bearer_token()))
    return Message(message="You are signed out.")


@sessions.post("/refresh", responses={200: SignedIn}, security=[{"bearer": []}])
@public
def refresh() -> Answer:
    """Trade a refresh token for a new pair; it serves once."""
    claims = tokens.claims_of(bearer_token(), tokens.REFRESH)
    user = tokens.account_of(claims)
    tokens.use_up(claims)
    return _signed_in(user, claims.session_id)


@sessions.post("/validate", responses={200: Validated})
@public
@reads_only
def validate() -> Answer:
    """Say whose access token this is. Internal: the gateway does not route it."""
    token = bearer_token()
    return Validated(user=Identity.model_validate(tokens.user_of(token)), expires_at=tokens.claims_of(token).expires_at)


@sessions.post("/token", responses={200: ServiceToken})
@public
@reads_only
def token(body: ClientCredentials) -> Answer:
    """Give a service its own token (OAuth 2.0 client credentials). Internal: the gateway does not route it."""
    return ServiceToken(
        access_token=tokens.new_service_token(body.client_id, body.client_secret),
        expires_in=int(tokens.SERVICE_TOKEN.total_seconds()),
    )


def _signed_in(user: User, session_id: str | None = None) -> SignedIn:
    pair = tokens.new_pair(user, session_id)
    return SignedIn(
        user=UserOut.model_validate(user),
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
    )


def _refuse_taken(new: NewUser) -> None:
    field = taken(new.username, new.email)
    if field:
        raise Conflict(f"This {field} already exists.", code=f"{field}_taken")
