import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from shopkit.errors import Invalid
from shopkit.schemas import (
    MAX_ID,
    MOST_LEVELS,
    MOST_VALUES,
    Amount,
    AmountIn,
    Edit,
    Id,
    Input,
    Output,
    PublicUrl,
    Timestamp,
    minor_units,
    refuse_excess,
    refuse_excess_unread,
    whole_units,
)
from shopkit.testing import cpu_seconds


class Price(Output):
    price: Amount


class NewPrice(Input):
    price: AmountIn


@given(st.integers(0, 10**13))
def test_an_amount_goes_out_and_comes_in_without_losing_a_cent(minor):
    text = Price(price=minor).model_dump_json()

    assert json.loads(text, parse_float=Decimal)["price"] == Decimal(minor) / 100
    assert minor_units(json.loads(text)["price"]) == minor


@pytest.mark.parametrize(
    ("shown", "minor"), [(19.99, 1999), (20, 2000), (0.1, 10), ("4.50", 450), (Decimal("1.1"), 110), (0, 0)]
)
def test_a_number_is_read_as_minor_units(shown, minor):
    assert NewPrice(price=shown).price == minor


@pytest.mark.parametrize("shown", [1.999, "abc", None, True, [], "nan", "inf", -0.01, 10**9])
def test_what_is_no_amount_is_refused(shown):
    with pytest.raises(ValueError, match="price"):
        NewPrice(price=shown)


@pytest.mark.parametrize(
    "shown",
    [
        *("1e999990", "1e-999990", "-1E+999990", "1" * 10**6, f"0.{'0' * 10**6}1", f"{' ' * 10**6}x", " " * 10**6),
        *(1e300, 1e-300, 10**15, 10**400, 10**100_000),
        *(Decimal("1e999990"), Decimal("1e-999990"), Decimal("NaN"), Decimal(10) ** 20),
    ],
    ids=lambda shown: type(shown).__name__,
)
def test_no_number_is_converted_that_stands_for_more_digits_than_money_has(shown):
    def convert():
        with pytest.raises(ValueError, match=r"must|too large"):
            minor_units(shown)

    assert cpu_seconds(convert, 0.02) < 0.02


@pytest.mark.parametrize(
    ("shown", "units"),
    [("4.5", 45), (" 4 ", 40), ("+4.0", 40), (".5", 5), ("5.", 50), (-1.5, -15), (Decimal("3.10"), 31)],
)
def test_a_number_may_be_written_as_people_write_it(shown, units):
    assert whole_units(shown, decimals=1) == units


@given(st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner)))
def test_a_body_of_ordinary_size_is_not_refused(body):
    refuse_excess({"field": body})


@pytest.mark.parametrize(
    "body",
    [
        dict.fromkeys(map(str, range(MOST_VALUES + 1))),
        {"list": [[]] * MOST_VALUES},
        {"list": [{"field": 1}] * (MOST_VALUES // 2)},
        reduce(lambda inner, _: [inner], range(MOST_LEVELS), []),
        reduce(lambda inner, _: {"field": inner}, range(900), {}),
    ],
)
def test_a_body_of_more_values_or_levels_than_any_request_needs_is_refused(body):
    with pytest.raises(Invalid, match="at most"):
        refuse_excess({"body": body})


def test_a_body_of_tens_of_thousands_of_values_is_refused_before_it_takes_the_memory_for_them():
    with pytest.raises(Invalid, match="values"):
        refuse_excess_unread(b"[%b1]" % (b"1," * 20_001))


def test_a_text_of_many_commas_is_read():
    refuse_excess_unread(b'{"message": "%b"}' % (b"," * 5000))


class Ref(Input):
    id: Id


@pytest.mark.parametrize("sent", [7, "7", "007"])
def test_an_id_is_a_number_or_its_digits(sent):
    assert Ref.model_validate({"id": sent}).id == 7


@given(st.integers(1, MAX_ID))
def test_every_id_may_come_as_digits(number):
    assert Ref(id=str(number)).id == number


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "7.0",
        " 7",
        "7 ",
        "+7",
        "-7",
        "0",
        "\u0667",
        "\uff17",
        "7_0",
        "1e3",
        "0x7",
        "seven",
        str(MAX_ID + 1),
        "1" * 5000,
    ],
)
def test_what_only_looks_like_an_id_is_refused(sent):
    with pytest.raises(ValueError, match="id"):
        Ref.model_validate({"id": sent})


@pytest.mark.parametrize("sent", [0, -1, 7.0, 7.5, True, None, [7], {"id": 7}, MAX_ID + 1, 10**30])
def test_what_is_no_id_is_refused(sent):
    with pytest.raises(ValueError, match="id"):
        Ref.model_validate({"id": sent})


class Part(Output):
    picture: PublicUrl
    weight: Amount


class Thing(Output):
    id: int
    name: str
    made_at: Timestamp
    seen: bool
    note: str | None
    parts: list[Part]


class ThingEdit(Edit):
    shown = Thing

    name: str = ""


THING = Thing(
    id=7,
    name="Lamp",
    made_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
    seen=False,
    note=None,
    parts=[Part(picture="/images/a.svg", weight=1250)],
)
SHOWN = json.loads(THING.model_dump_json())


def test_what_was_shown_can_be_sent_back_with_what_is_changed():
    edit = ThingEdit.model_validate({**SHOWN, "name": "Torch"})

    edit.refuse_changes_of(THING)

    assert edit.model_dump(exclude_unset=True) == {"name": "Torch"}


@pytest.mark.parametrize("sent", [{}, {"id": "7"}, {"parts": [{"picture": "/images/a.svg", "weight": 12.50}]}])
def test_it_need_not_be_all_and_numbers_may_be_text(sent):
    ThingEdit.model_validate(sent).refuse_changes_of(THING)


def test_addresses_that_were_shown_can_be_sent_back_absolute_or_not():
    for parts in ([{"picture": "https://shop.example/images/a.svg", "weight": 12.5}], SHOWN["parts"]):
        with Flask(__name__).test_request_context(headers={"X-Public-Url": "https://shop.example"}):
            ThingEdit.model_validate({"parts": parts}).refuse_changes_of(THING)


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        *[("id", each) for each in (8, "8", None, [7], "seven")],
        *[("seen", each) for each in (True, None, "false")],
        *[("note", each) for each in ("", "None", 0)],
        *[("made_at", each) for each in ("2024-05-01T12:00:01Z", None, 7)],
        *[("parts", each) for each in ([], None, {}, SHOWN["parts"] * 2, [{"picture": "/images/a.svg"}])],
        ("parts", [{"picture": "https://elsewhere.example/images/a.svg", "weight": 12.5}]),
    ],
)
def test_what_only_get_shows_cannot_be_changed(field, sent):
    edit = ThingEdit.model_validate({**SHOWN, field: sent})

    with pytest.raises(Invalid) as refused:
        edit.refuse_changes_of(THING)

    assert refused.value.extra["errors"] == [{"field": field, "message": "cannot be changed"}]


def test_what_get_does_not_show_is_unknown():
    with pytest.raises(ValueError, match="colour"):
        ThingEdit.model_validate({**SHOWN, "colour": "red"})
