"""What goes in and out of the auth service as JSON."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, EmailStr, Field, StringConstraints, ValidationInfo, field_validator

from models import PASSWORD_LENGTHS, User, folded
from shopkit.schemas import Input, Output, Timestamp


def _fits_folded(column: Any) -> AfterValidator:
    """A single letter may be many in the form in which names are compared: `ﷺ` is eighteen."""

    def check(name: str) -> str:
        if len(folded(name)) > column.type.length:
            raise ValueError("is too long in its simplest spelling")
        return name

    return AfterValidator(check)


Password = Annotated[str, StringConstraints(strip_whitespace=False)]
Username = Annotated[
    str, Field(min_length=3, max_length=50, pattern=r"^[\w.\-]+$"), _fits_folded(User.username_key.property.columns[0])
]
Email = Annotated[EmailStr, _fits_folded(User.email_key.property.columns[0])]
# Bounded, because to compare a name it is normalised, which for long ones takes long.
Name = Annotated[str, Field(max_length=254)]


class NewUser(Input):
    username: Username
    email: Email
    # its rules are checked after it is known that the name is free
    password: Password


class Credentials(Input):
    """The username or the e-mail address, under either name."""

    email: Name | None = None
    username: Name = Field(default="", validate_default=True)
    # what is longer is nobody's, and would be hashed all the same
    password: Annotated[Password, Field(max_length=PASSWORD_LENGTHS[-1])]

    @field_validator("username", mode="before")
    @classmethod
    def _or_email(cls, username: Any, info: ValidationInfo) -> Any:
        email = info.data.get("email")
        if username in (None, ""):
            username = email
        elif email is not None and email != username:
            raise ValueError("and email are not the same; one of them is enough")
        return username


class ClientCredentials(Input):
    grant_type: Literal["client_credentials"]
    client_id: Annotated[str, Field(max_length=254)]
    client_secret: Annotated[Password, Field(max_length=254)]


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
    session_id: str


class ServiceToken(Output):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int


class Message(Output):
    message: str
