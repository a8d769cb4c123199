"""What goes in and out of the auth service as JSON."""

from typing import Annotated, Literal

from pydantic import EmailStr, Field, StringConstraints

from shopkit.schemas import Input, Output, Timestamp

Password = Annotated[str, StringConstraints(strip_whitespace=False)]
Username = Annotated[str, Field(min_length=3, max_length=50, pattern=r"^[\w.\-]+$")]


class NewUser(Input):
    username: Username
    email: EmailStr
    # its rules are checked after it is known that the name is free
    password: Password


class Credentials(Input):
    # or an e-mail address: bounded, because to compare a name it is normalised, which for long ones takes long
    username: Annotated[str, Field(max_length=254)]
    password: Password


class ClientCredentials(Input):
    grant_type: Literal["client_credentials"]
    client_id: str
    client_secret: str


class Identity(Output):
    id: int
    username: str
    email: str
    role: str


class UserOut(Identity):
    created_at: Timestamp


class SignedIn(Output):
    user: UserOut
    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int


class Validated(Output):
    valid: bool = True
    user: Identity
    expires_at: Timestamp


class ServiceToken(Output):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int


class Message(Output):
    message: str
