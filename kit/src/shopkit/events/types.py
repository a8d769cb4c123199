"""What an event is: a class of its own for each kind, and the message that carries one from service to service."""

import uuid
from collections.abc import Set
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
)

from shopkit.database import now
from shopkit.errors import Invalid, shortened
from shopkit.schemas import AMOUNT_SCHEMA, MAX_ID, Input, amount, minor_units

KINDS: "dict[str, type[Event]]" = {}
"""Every kind of event by its name, which travels and is stored: a class may be renamed, its name may not."""


class Message(Input):
    """An event on its way."""

    model_config = ConfigDict(frozen=True)

    id: uuid.UUID
    name: Annotated[str, Field(max_length=60)]
    occurred_at: AwareDatetime
    payload: dict[str, Any]


class Event(BaseModel):
    """Something that has happened. Its fields are the payload; its docstring says what it tells.

        class UserRegistered(Event, name="user.registered", publisher="auth-service", subscribers={"profile-service"}):

    :cvar publisher: the one service that may publish it.
    :cvar subscribers: the services that handle it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: ClassVar[str]
    publisher: ClassVar[str]
    subscribers: ClassVar[frozenset[str]]

    _id: uuid.UUID = PrivateAttr(default_factory=uuid.uuid4)
    _occurred_at: datetime = PrivateAttr(default_factory=now)

    def __init_subclass__(cls, *, name: str = "", publisher: str = "", subscribers: Set[str] = frozenset()) -> None:
        if name:  # what several kinds have in common has none
            cls.name, cls.publisher, cls.subscribers = name, publisher, frozenset(subscribers)
            KINDS[name] = cls

    @property
    def id(self) -> uuid.UUID:
        return self._id

    @property
    def occurred_at(self) -> datetime:
        return self._occurred_at

    @classmethod
    def read(cls, message: Message) -> Self:
        """The event that a message carries.

        :raise Invalid: it is another, or none; without its values, which are nobody's business in a log.
        """
        try:
            event = cls.model_validate_json(orjson.dumps(message.payload))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "payload"
            raise Invalid(shortened(f"{cls.name}: {where}: {first['msg']}", 300)) from None
        event._id, event._occurred_at = message.id, message.occurred_at
        return event

    def payload(self) -> dict[str, Any]:
        """As it is stored and travels."""
        return self.model_dump(mode="json")


def _read_amount(value: object, info: ValidationInfo) -> object:
    if info.mode == "python":
        return value
    if isinstance(value, str):
        raise ValueError("must be a number")
    return minor_units(value)


EventId = Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
"""The id of something, in an event."""

EventAmount = Annotated[
    int,
    BeforeValidator(_read_amount),
    Field(strict=True, ge=0),
    PlainSerializer(amount, when_used="json"),
    AMOUNT_SCHEMA,
]
"""Money in an event: minor units here, a JSON number with at most two decimals on its way."""


def subscribers_of(service: str) -> set[str]:
    """Who handles anything that this service publishes."""
    return {each for kind in KINDS.values() if kind.publisher == service for each in kind.subscribers}


def subscribed_by(service: str) -> set[str]:
    """The names of the events that this service handles."""
    return {name for name, kind in KINDS.items() if service in kind.subscribers}
