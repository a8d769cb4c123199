"""How the shop writes things as JSON: what comes in is strict, what goes out is built from rows.

Money is kept and calculated in integer minor units (cents) and shown as a JSON number with at most two decimals.
Time is UTC, shown as RFC 3339 with `Z`. Ids are positive and fit 32 bits.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from shopkit.errors import Invalid
from shopkit.public_url import absolute, relative

MAX_ID = 2**31 - 1
MAX_AMOUNT = 10**9
MOST_VALUES = 5000  # in a body
MOST_LEVELS = 32
MOST_COMMAS = 4 * MOST_VALUES  # those in texts included, of which none may be so long

Model = TypeVar("Model", bound=BaseModel)


def amount(minor_units: int) -> float:
    """Write minor units as a JSON number: 1999 → 19.99. Nothing is ever calculated with the result.

    The float nearest to a number of at most 15 digits prints as just that number, so none is lost on the way.
    """
    return float(Decimal(minor_units).scaleb(-2))


def minor_units(shown: object) -> int:
    """Read a number with at most two decimals as minor units: 19.99 → 1999.

    :raise ValueError: it is none, as `whole_units` says, or has more decimals.
    """
    return whole_units(shown, decimals=2)


def whole_units(shown: object, decimals: int) -> int:
    """Read a JSON number, or its plain digits as text, without its point.

    An exponent makes a few letters stand for more digits than there is time for, so no number with one is converted.

    :raise ValueError: not a number, larger than money is, or with more decimals.
    """
    if isinstance(shown, bool) or not isinstance(shown, int | float | str | Decimal):
        raise ValueError("must be a number")
    if isinstance(shown, int) and abs(shown) >= 10**_MOST_DIGITS:
        raise ValueError("is too large")
    found = _PLAIN_NUMBER.fullmatch(str(shown))
    if not found:
        raise ValueError("must be a plain number, such as 19.99")
    sign, whole, fraction = found.groups("")
    if len(fraction.rstrip("0")) > decimals:
        raise ValueError(f"must have at most {'one decimal' if decimals == 1 else 'two decimals'}")
    return int(sign + whole + fraction[:decimals].ljust(decimals, "0"))


def _number_in_digits(sent: object) -> object:
    return int(sent) if isinstance(sent, str) and _DIGITS.fullmatch(sent) else sent


_DIGITS = re.compile("[0-9]{1,10}")
_MOST_DIGITS = 15
_PLAIN_NUMBER = re.compile(rf"\s{{0,30}}([+-]?)(?=\.?[0-9])([0-9]{{0,{_MOST_DIGITS}}})(?:\.([0-9]{{0,30}}))?\s{{0,30}}")
AMOUNT_SCHEMA = WithJsonSchema({"type": "number", "multipleOf": 0.01, "minimum": 0})

Amount = Annotated[int, PlainSerializer(amount, when_used="always"), AMOUNT_SCHEMA]
"""An amount of money going out: minor units here, a number with two decimals in JSON."""

AmountIn = Annotated[int, BeforeValidator(minor_units), Field(ge=0, le=MAX_AMOUNT), AMOUNT_SCHEMA]
"""An amount of money coming in: a number with at most two decimals in JSON, minor units here."""

Id = Annotated[int, BeforeValidator(_number_in_digits), Field(strict=True, ge=1, le=MAX_ID)]
"""An id in a body: a number, or its digits as text."""

QueryId = Annotated[int, Field(ge=1, le=MAX_ID)]
"""An id in a query, where everything is text."""

Timestamp = datetime

PublicUrl = Annotated[str, PlainSerializer(absolute, when_used="json")]
"""The address of something, going out: absolute where it is known what the shop is called; here as it is stored."""

OwnUrl = Annotated[str, BeforeValidator(lambda sent: relative(sent.strip()) if isinstance(sent, str) else sent)]
"""An address coming in: absolute or not, of our own things the path is kept."""


def refuse_excess_unread(body: bytes) -> None:
    """Look at JSON before it is read: tens of thousands of values take memory that a process does not get rid of.

    :raise Invalid: it has far more values than `refuse_excess` lets pass.
    """
    if body.count(b",") > MOST_COMMAS:
        raise _too_many_values()


def _too_many_values() -> Invalid:
    return Invalid.field("body", f"must have at most {MOST_VALUES} values")


def refuse_excess(body: dict[str, Any]) -> None:
    """Look how much there is before anything is done with each of it, without going into it by recursion.

    :raise Invalid: more values, or deeper inside each other, than any request needs.
    """
    values = 0
    level: list[dict[str, Any] | list[Any]] = [body]
    for _ in range(MOST_LEVELS):
        values += sum(map(len, level))
        if values > MOST_VALUES:
            raise _too_many_values()
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
        if not level:
            return
    raise Invalid.field("body", f"must have at most {MOST_LEVELS} levels")


class Input(BaseModel):
    """A body as it comes in: unknown fields are refused, white space around text is dropped."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, populate_by_name=True)


class Edit(Input):
    """What `PUT` and `PATCH` take of a resource: what is not sent stays as it is.

    What only `GET` shows may be sent back with the rest. Ask `refuse_changes_of` before changing anything.

    :cvar shown: the resource as `GET` gives it.
    """

    shown: ClassVar[type[BaseModel]]
    _sent_back: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _put_aside(cls, sent: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(sent, dict):
            return validate(sent)
        read_only = {*cls.shown.model_fields, *cls.shown.model_computed_fields} - cls.model_fields.keys()
        edit = validate({name: value for name, value in sent.items() if name not in read_only})
        edit._sent_back = {name: value for name, value in sent.items() if name in read_only}
        return edit

    def refuse_changes_of(self, shown: BaseModel) -> None:
        """:raise Invalid: what was sent back is not what `GET` shows now."""
        now = shown.model_dump(mode="json")
        changed = [name for name, value in self._sent_back.items() if not _is_same(value, now[name])]
        if changed:
            raise Invalid.fields([{"field": name, "message": "cannot be changed"} for name in changed])


def _is_same(sent: object, shown: object) -> bool:
    """Whether it means the same; our own addresses may be absolute or not, numbers may be text."""
    if isinstance(sent, dict) and isinstance(shown, dict):
        return sent.keys() == shown.keys() and all(_is_same(sent[name], shown[name]) for name in shown)
    if isinstance(sent, list) and isinstance(shown, list):
        return len(sent) == len(shown) and all(map(_is_same, sent, shown))
    if isinstance(sent, str) and isinstance(shown, str):
        return relative(sent) == relative(shown)
    return sent == shown or (type(shown) is int and sent == str(shown))


class Output(BaseModel):
    """An answer, built from a row or from keywords."""

    model_config = ConfigDict(from_attributes=True)


class Query(Input):
    """The query of a URL. A parameter counts once, unless its field is a `list` or `tuple`."""

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        # flask-openapi3 asks for it on every request; it never changes.
        return super().model_json_schema(*args, **kwargs)


@cache
def list_of(schema: type[Model]) -> TypeAdapter[list[Model]]:
    return TypeAdapter(list[schema])  # type: ignore[valid-type]
