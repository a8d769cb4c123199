"""What events there are, who says and who hears them, and what they look like: a JSON Schema of each in `schemas/`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jsonschema_rs
import orjson
from pydantic import AwareDatetime, ConfigDict, Field

from shopkit.errors import shortened
from shopkit.schemas import Input

SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class Route:
    said_by: str
    heard_by: frozenset[str]


def _route(said_by: str, *heard_by: str) -> Route:
    return Route(said_by, frozenset(heard_by))


ROUTES = {
    "user.registered": _route("auth-service", "profile-service"),
    "product.price_changed": _route("product-service", "cart-service"),
    "product.stock_changed": _route("product-service", "cart-service"),
    "order.confirmed": _route("order-service", "cart-service", "product-service", "customer-support-service"),
    "order.cancelled": _route("order-service", "product-service", "customer-support-service"),
    "order.delivered": _route("order-service", "product-service", "customer-support-service"),
}


class Event(Input):
    """An event on its way, and as a handler gets it."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: Annotated[str, Field(max_length=60)]
    occurred_at: AwareDatetime
    payload: dict[str, Any]


def listeners_of(service: str) -> set[str]:
    """Who hears anything that this service says."""
    return {each for route in ROUTES.values() if route.said_by == service for each in route.heard_by}


def heard_by(service: str) -> set[str]:
    """The names of the events that this service hears."""
    return {name for name, route in ROUTES.items() if service in route.heard_by}


def complaint(name: str, payload: object) -> str | None:
    """Why this is no such event, if it is none; without the values, which are nobody's business in a log."""
    if name not in ROUTES:
        return f"There is no event {name}."
    error = next(_validator(name).iter_errors(payload), None)
    if error is None:
        return None
    where = ".".join(map(str, error.instance_path)) or "payload"
    return shortened(f"{name}: {where}: {error.message}", 300)


@cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    schema = orjson.loads((SCHEMAS / f"{name}.json").read_bytes())
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, mask="the value")
