from flask_openapi3 import APIBlueprint, Tag

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
from shopkit.service import ViewResult
from shopkit.transactions import reads_only
from tokens import ACCESS, REFRESH, SERVICE_TOKEN, TokenPair, Tokens, account_of, user_behind

accounts = APIBlueprint("accounts", __name__, abp_tags=[Tag(name="accounts")])


@accounts.post("/register", responses={201: UserOut})
@public
def register(body: NewUser) -> ViewResult:
    """Open an account."""
    return UserOut.model_validate(open_account(body)), 201


def sessions(tokens: Tokens) -> APIBlueprint:
    api = APIBlueprint("sessions", __name__, abp_tags=[Tag(name="sessions")])

    @api.post("/login", responses={200: SignedIn})
    @public
    def login(body: Credentials) -> ViewResult:
        """Sign in with a username or an e-mail address."""
        user = owner_of(body.username, body.password)
        return _signed_in(user, tokens.new_pair(user))

    @api.post("/logout", responses={200: Message}, security=[{"bearer": []}])
    @public
    def logout() -> ViewResult:
        """End the session: its access and refresh tokens are refused from the next request on, by every service.

        To sign out again, with a token that has not expired, is harmless.
        """
        tokens.end_session(tokens.read(bearer_token()))
        return Message(message="You are signed out.")

    @api.post("/refresh", responses={200: SignedIn}, security=[{"bearer": []}])
    @public
    def refresh() -> ViewResult:
        """Trade a refresh token for a new pair of the same session.

        For ten seconds after its first use it brings further pairs; whoever comes later with it ends the session.
        """
        claims = tokens.claims_of(bearer_token(), REFRESH)
        user = account_of(claims)
        tokens.use(claims)
        return _signed_in(user, tokens.new_pair(user, claims.session_id))

    @api.post("/validate", responses={200: Validated})
    @public
    @reads_only
    def validate() -> ViewResult:
        """Say whose access token this is. Internal: the gateway does not route it."""
        claims = tokens.claims_of(bearer_token(), ACCESS)
        user = Identity.model_validate(user_behind(claims))
        return Validated(user=user, expires_at=claims.expires_at, session_id=claims.session_id)

    @api.post("/token", responses={200: ServiceToken})
    @public
    @reads_only
    def token(body: ClientCredentials) -> ViewResult:
        """Give a service its own token (OAuth 2.0 client credentials). Internal: the gateway does not route it."""
        return ServiceToken(
            access_token=tokens.new_service_token(body.client_id, body.client_secret),
            expires_in=int(SERVICE_TOKEN.total_seconds()),
        )

    return api


def _signed_in(user: User, pair: TokenPair) -> SignedIn:
    return SignedIn(
        user=UserOut.model_validate(user),
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
    )
