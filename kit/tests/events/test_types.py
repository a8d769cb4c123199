"""What is told is what the event's class says: on its way out, on its way in, and in the schemas for readers."""

from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

import shop_events
from shop_events.__main__ import main, schema_of
from shopkit.errors import Invalid
from shopkit.events.types import KINDS, Message

SCHEMAS = Path(__file__).parents[3] / "docs" / "events"


@pytest.fixture
def message(order):
    """The cancelled order as it travels, with changes in its payload."""

    def message(**changes):
        return Message(
            id=UUID(int=7),
            name="order.cancelled",
            occurred_at="2026-03-01T12:00:00Z",
            payload={**order, **changes},
        )

    return message


def test_money_is_minor_units_here_and_a_number_on_its_way(order_cancelled, message, order):
    event = shop_events.OrderCancelled.read(message())

    assert (event.total_amount, event.items[0].price) == (5997, 1999)
    assert event.payload() == order_cancelled().payload() == order


def test_what_is_read_is_the_same_event(message):
    event = shop_events.OrderCancelled.read(message())

    assert (event.id, event.occurred_at) == (UUID(int=7), message().occurred_at)


WRONG = [
    ({"order_id": "7"}, "order_id"),
    ({"order_id": 0}, "order_id"),
    ({"reference": "seven"}, "reference"),
    ({"status": "confirmed"}, "status"),
    ({"total_amount": 1.005}, "total_amount"),
    ({"total_amount": "59.97"}, "total_amount"),
    ({"total_amount": -1}, "total_amount"),
    ({"card": "4242"}, "card"),
    ({"items": []}, "items"),
    ({"items": [{"product_id": 3}]}, "items.0"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_what_is_not_as_the_class_says_is_not_read_and_not_repeated(message, change, field):
    with pytest.raises(Invalid) as refused:
        shop_events.OrderCancelled.read(message(**change))

    assert refused.value.message.startswith(f"order.cancelled: {field}")
    assert "4242" not in refused.value.message


@pytest.mark.parametrize(
    "change", [{"order_id": "7"}, {"status": "confirmed"}, {"total_amount": 1.5}, {"card": "4242"}]
)
def test_what_is_not_as_the_class_says_cannot_be_published(order_cancelled, change):
    with pytest.raises(ValidationError):
        order_cancelled(**change)


def test_the_schemas_for_readers_are_those_of_the_classes():
    assert {path.stem: path.read_bytes() for path in SCHEMAS.iterdir()} == {
        name: schema_of(kind) for name, kind in KINDS.items()
    }, "run `make schemas`"


def test_schemas_of_events_that_are_gone_go(tmp_path):
    (tmp_path / "user.eaten.json").write_text("{}")

    main(tmp_path)

    assert {path.stem for path in tmp_path.iterdir()} == KINDS.keys()


def test_names_on_the_wire_are_what_they_were_in_the_first_release():
    assert {"user.registered", "product.price_changed", "product.stock_changed"} <= KINDS.keys()
    assert {"order.confirmed", "order.cancelled", "order.delivered"} <= KINDS.keys()
