"""What a service reads from its environment: once, typed, and complete or not at all."""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from dotenv import load_dotenv


class SettingsError(SystemExit):
    """A setting is missing or makes no sense; the message names it and ends the process."""


class Days(timedelta):
    """A time that is set as a whole number of days."""

    unit = "days"

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raise ValueError: it is no such number, or none that a calendar has room for."""
        if not re.fullmatch("0*[1-9][0-9]{0,4}", text, re.ASCII):
            raise ValueError(f"it takes a whole number of {cls.unit}, from 1 to 99999")
        return cls(**{cls.unit: int(text)})


class Hours(Days):
    unit = "hours"


# How long services keep what was delivered, what they remember to have dealt with, and idempotency keys.
KEEP_EVENTS, KEEP_HANDLED, KEEP_ANSWERS = Days(7), Days(90), Hours(hours=24)


def server_setting(name: str, default: str) -> str:
    """What the environment says to the server around an app; an empty setting means its default."""
    return os.environ.get(name, "").strip() or default


def server_count(name: str, default: int) -> int:
    """:raise SettingsError: it is no whole number above zero."""
    text = server_setting(name, str(default))
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"{name} does not make sense: it has to be a whole number above zero.")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What everything that serves has; a subclass adds its own.

    A field without a default is a setting that must be given. The name of its variable is the field's in capitals.
    """

    port: int = 5000

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`, or from the process's environment and the `.env` of this folder.

        :raise SettingsError: required variables are missing or empty, or some do not parse; all of them are named.
        """
        if environ is None:
            load_dotenv(Path(".env"))
            environ = os.environ
        kinds = get_type_hints(cls)
        given, wrong = {}, []
        for each in fields(cls):
            text = environ.get(each.name.upper(), "").strip()
            try:
                if text:
                    given[each.name] = _parse(text, kinds[each.name])
                elif each.default is MISSING and each.default_factory is MISSING:
                    raise ValueError("is missing. Set it in the environment or in .env (see .env.example)")
            except ValueError as error:
                wrong.append(f"{each.name.upper()} {error}.")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(Settings):
    """Common to all services; a service adds its own by subclassing."""

    secret_key: str = field(repr=False)
    database_uri: str = field(default="sqlite:///shop.db", repr=False)
    auth_service_url: str = "http://127.0.0.1:5001"
    amqp_url: str = field(default="", repr=False)
    migrate_at_start: bool = True


def _parse(text: str, kind: Any) -> Any:
    """A kind of our own parses itself and says what is wrong, without repeating the text, which may be secret.

    :raise ValueError: it does not make sense; the message goes after the name of the setting.
    """
    kind = next((each for each in get_args(kind) if hasattr(each, "parse")), kind)  # of `Rate | None` the Rate
    if hasattr(kind, "parse"):
        try:
            return kind.parse(text)
        except ValueError as error:
            raise ValueError(f"does not make sense: {error}") from None
    try:
        return _PARSERS[kind](text)
    except (KeyError, ValueError):
        raise ValueError(f"does not make sense as {_in_words(kind)}") from None


_PARSERS: dict[Any, Any] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    tuple[str, ...]: lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
}


def _in_words(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind, str(kind))
