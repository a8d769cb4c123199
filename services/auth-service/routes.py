from flask_openapi3 import APIBlueprint, Tag

import tokens
from accounts import open_account, owner_of
from models import User
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
from shopkit.auth import bearer_token, public
from shopkit.service import Answer
from shopkit.transactions import reads_only

accounts = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="accounts")])
sessions = APIBlueprint("sessions", __name__, abp_tags=[Tag(name="sessions")])


@accounts.post("/register", responses={201: UserOut})
@public
def register(body: NewUser) -> Answer:
    """Open an account."""
    return UserOut.model_validate(open_account(body)), 201


@sessions.post("/login", responses={200: SignedIn})
@public
def login(body: Credentials) -> Answer:
    """Sign in with a username or an e-mail address."""
    return _signed_in(owner_of(body.username, body.password))


@sessions.post("/logout", responses={200: Message}, security=[{"bearer": []}])
@public
def logout() -> Answer:
    """End the session: its access and refresh tokens are refused from the next request on, by every service.

    To sign out again, with a token that has not expired, is harmless.
    """
    tokens.end_session(tokens.read(bearer_token()))
    return Message(message="You are signed out.")


@sessions.post("/refresh", responses={200: SignedIn}, security=[{"bearer": []}])
@public
def refresh() -> Answer:
    """Trade a refresh token for a new pair of the same session.

    For ten seconds after its first use it brings further pairs; whoever comes later with it ends the session.
    """
    claims = tokens.claims_of(bearer_token(), tokens.REFRESH)
    user = tokens.account_of(claims)
    tokens.use(claims)
    return _signed_in(user, claims.session_id)


@sessions.post("/validate", responses={200: Validated})
@public
@reads_only
def validate() -> Answer:
    """Say whose access token this is. Internal: the gateway does not route it."""
    claims = tokens.claims_of(bearer_token(), tokens.ACCESS)
    user = Identity.model_validate(tokens.user_behind(claims))
    return Validated(user=user, expires_at=claims.expires_at, session_id=claims.session_id)


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
