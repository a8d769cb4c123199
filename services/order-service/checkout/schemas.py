"""What a checkout is asked with."""

from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from shopkit.schemas import AMOUNT_SCHEMA, MAX_AMOUNT, Id, Input, minor_units

LONGEST_LINE = 500
# the dearest cart there can be: a hundred products, 99 of each
MAX_TOTAL = 100 * 99 * MAX_AMOUNT
TotalIn = Annotated[int, BeforeValidator(minor_units), Field(ge=0, le=MAX_TOTAL), AMOUNT_SCHEMA]

Required = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Optional = Annotated[str | None, Field(max_length=200)]


_OF_ADDRESS_BOOK = {"id", "label", "is_default"}


class ShippingAddress(Input):
    """An address, perhaps as the address book gave it."""

    id: Any = Field(None, exclude=True)
    label: Any = Field(None, exclude=True)
    is_default: Any = Field(None, exclude=True)
    recipient: Optional = None
    phone: Optional = None
    address_line1: Required = Field(validation_alias=AliasChoices("address_line1", "address"))
    address_line2: Optional = None
    city: Required
    state: Optional = None
    postal_code: Required = Field(validation_alias=AliasChoices("postal_code", "zip_code"))
    country: Required


def _in_one_line(sent: object, parse: ValidatorFunctionWrapHandler) -> ShippingAddress:
    """Take a whole address as one line of text, too, and what an order made of such a line."""
    if isinstance(sent, dict) and sent.keys() == ShippingAddress.model_fields.keys() - _OF_ADDRESS_BOOK:
        filled_in = [name for name, value in sent.items() if value]
        sent = sent["address_line1"] if filled_in == ["address_line1"] else sent
    if not isinstance(sent, str):
        address: ShippingAddress = parse(sent)
        return address
    line = sent.strip()
    if not 0 < len(line) <= LONGEST_LINE:
        raise ValueError(f"must have 1 to {LONGEST_LINE} characters")
    return ShippingAddress.model_construct(address_line1=line, city="", postal_code="", country="")


def _document_the_line(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string", "minLength": 1, "maxLength": LONGEST_LINE, "pattern": r"\S"})


class NewOrder(Input):
    """Without an address it goes to the default one of the address book."""

    payment_method_id: Id
    shipping_address: Annotated[ShippingAddress, WrapValidator(_in_one_line)] | None = Field(
        None, json_schema_extra=_document_the_line
    )
    address_id: Id | None = None
    # what the buyer saw; without it, what the cart said when its lines were last changed
    expected_total: TotalIn | None = None

    @model_validator(mode="after")
    def one_address(self) -> Self:
        if self.shipping_address is not None and self.address_id is not None:
            raise ValueError("send either a shipping_address or an address_id")
        return self
