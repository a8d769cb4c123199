"""Ten minutes of all attacks by turns: `make soak`. SOAK_SECONDS says how long; without it nothing is run."""

import os

import pytest

from hostile.soak import soak

SECONDS = float(os.environ.get("SOAK_SECONDS") or 0)

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(int(3 * SECONDS) + 600),
    pytest.mark.xdist_group("hostile"),
    pytest.mark.skipif(not SECONDS, reason="make soak runs it, for ten minutes"),
]


@pytest.mark.flaky(reruns=0)  # it measures for long; a second try would only hide the first
def test_after_hours_of_attacks_the_shop_is_what_it_was_before(shop):
    figures = soak(shop, SECONDS)

    print("\n" + figures.report())  # noqa: T201
    assert figures.complaints() == []
