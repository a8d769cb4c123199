"""What goes in and out of the profile service as JSON."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

import cards
from shopkit.database import now
from shopkit.schemas import Edit, Input, Output, Query, QueryId, Timestamp

PHONE = r"([ +\-.()/]*[0-9]){5}[0-9 +\-.()/]*"


def _phone(text: str) -> str:
    if text and not re.fullmatch(PHONE, text):
        raise ValueError("must be a phone number, such as +1 555-123-4567")
    return text


def _country(text: str) -> str:
    if len(text) == 1:
        raise ValueError("must have 2 to 60 characters")
    return text


def _month(sent: object) -> object:
    """As cards have it: `05`."""
    if isinstance(sent, str):
        if not re.fullmatch("[0-9]{1,2}", sent):
            raise ValueError("must be a month from 1 to 12")
        return int(sent)
    return sent


def _year(sent: object) -> object:
    """As cards have it: `30`."""
    if isinstance(sent, str):
        if not re.fullmatch("[0-9]{2}|[0-9]{4}", sent):
            raise ValueError("must be a year, such as 2030 or 30")
        sent = int(sent)
    is_short = type(sent) is int and 0 <= sent <= 99
    return 2000 + sent if is_short else sent  # type: ignore[operator]


def _card_number(secret: SecretStr) -> SecretStr:
    number = secret.get_secret_value()
    if not cards.is_card_number(number):
        raise ValueError("must be a valid card number")
    return SecretStr(cards.digits_of(number))


def _security_code(secret: SecretStr) -> SecretStr:
    if not re.fullmatch("[0-9]{3,4}", secret.get_secret_value()):
        raise ValueError("must have 3 or 4 digits")
    return secret


def _no_card_number(text: str) -> str:
    """What is typed into the wrong field must not be kept either."""
    if cards.is_card_number(text):
        raise ValueError("must not be a card number")
    return text


def _without_defaults(schema: dict[str, Any]) -> None:
    for each in schema["properties"].values():
        each.pop("default", None)


_LINE1 = Field(
    max_length=200,
    validation_alias=AliasChoices("address_line1", "address"),
    description="`address` is accepted as its name too.",
)
_POSTAL_CODE = Field(
    max_length=20,
    validation_alias=AliasChoices("postal_code", "zip_code"),
    description="`zip_code` is accepted as its name too.",
)
_NOT_EMPTY = Field(min_length=1)

Name = Annotated[str, Field(max_length=100)]
Phone = Annotated[str, Field(max_length=32, json_schema_extra={"pattern": f"^({PHONE})?$"}), AfterValidator(_phone)]
Line1 = Annotated[str, _LINE1]
PostalCode = Annotated[str, _POSTAL_CODE]
Country = Annotated[
    str, Field(max_length=60, json_schema_extra={"pattern": r"^([\s\S]{2,60})?$"}), AfterValidator(_country)
]

Recipient = Annotated[str, Field(min_length=1, max_length=200)]
GivenLine1 = Annotated[str, _NOT_EMPTY, _LINE1]
GivenCity = Annotated[Name, _NOT_EMPTY]
GivenPostalCode = Annotated[str, _NOT_EMPTY, _POSTAL_CODE]
GivenCountry = Annotated[str, Field(min_length=2, max_length=60)]

Month = Annotated[
    int,
    BeforeValidator(_month),
    Field(ge=1, le=12, strict=True, description="A number, or its one or two digits as text: `5`, `05`."),
]
Year = Annotated[
    int,
    BeforeValidator(_year),
    Field(ge=2000, le=2099, strict=True, description="All of it or its last two digits, as a number or as text."),
]
CardNumber = Annotated[
    SecretStr,
    Field(max_length=100),
    AfterValidator(_card_number),
    WithJsonSchema({"type": "string", "writeOnly": True, "maxLength": 100, "examples": ["4242 4242 4242 4242"]}),
]
SecurityCode = Annotated[
    SecretStr,
    AfterValidator(_security_code),
    WithJsonSchema({"type": "string", "writeOnly": True, "pattern": "^[0-9]{3,4}$"}),
]


class ProfileFields(Output):
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    address_line1: str = ""
    address_line2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


class ProfileOut(ProfileFields):
    user_id: int
    username: str
    email: str


class AddressOut(Output):
    id: int
    label: str
    recipient: str
    phone: str
    address_line1: str
    address_line2: str
    city: str
    state: str
    postal_code: str
    country: str
    is_default: bool


class Contact(Input):
    model_config = ConfigDict(json_schema_extra=_without_defaults)

    phone: Phone = ""
    address_line2: Annotated[str, Field(max_length=200)] = ""
    state: Name = ""


class ProfileChange(Contact, Edit):
    shown = ProfileOut

    first_name: Name = ""
    last_name: Name = ""
    address_line1: Line1 = ""
    city: Name = ""
    postal_code: PostalCode = ""
    country: Country = ""


class AddressFields(Contact):
    label: Annotated[str, Field(max_length=50)] = ""
    recipient: Recipient = ""
    address_line1: GivenLine1 = ""
    city: GivenCity = ""
    postal_code: GivenPostalCode = ""
    country: GivenCountry = ""
    is_default: bool = Field(default=False, description="The default stays the default until another one is made it.")


class AddressChange(AddressFields, Edit):
    shown = AddressOut


class NewAddress(AddressFields):
    recipient: Recipient
    address_line1: GivenLine1
    city: GivenCity
    postal_code: GivenPostalCode
    country: GivenCountry


class Card(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    exp_month: Month
    exp_year: Year
    cardholder_name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_card_number)]
    is_default: bool = False

    @field_validator("exp_year")
    @classmethod
    def has_not_expired(cls, year: int, info: ValidationInfo) -> int:
        today = now()
        if (year, info.data.get("exp_month", today.month)) < (today.year, today.month):
            raise ValueError("the card has expired")
        return year


class NewCard(Card):
    card_number: CardNumber
    cvc: SecurityCode


class NewProviderCard(Card):
    provider_token: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_no_card_number)]
    brand: Annotated[str, Field(min_length=1, max_length=20)]
    last_four: Annotated[str, Field(pattern="^[0-9]{4}$")]


class PaymentMethodOut(Output):
    id: int
    brand: str
    last_four: str
    exp_month: int
    exp_year: int
    cardholder_name: str
    is_default: bool
    created_at: Timestamp


class Addresses(RootModel[list[AddressOut]]):
    pass


class PaymentMethods(RootModel[list[PaymentMethodOut]]):
    pass


class AddressPath(Output):
    address_id: int


class PaymentMethodPath(Output):
    payment_method_id: int


class OwnerQuery(Query):
    user_id: QueryId


class ProviderCardOut(Output):
    """What paying needs, for the shop's own services."""

    id: int
    user_id: int
    provider: str
    provider_token: str
    brand: str
    last_four: str
