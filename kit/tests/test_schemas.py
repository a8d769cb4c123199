import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopkit.schemas import Amount, AmountIn, Input, Output, minor_units


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
