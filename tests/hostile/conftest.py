"""A whole shop with real processes and its default limits, for attackers and one bystander."""

import pytest

from hostile.shop import Shop


@pytest.fixture(scope="module")
def shop(new_checkout):
    checkout = new_checkout()
    started = checkout.run("start_all.sh")
    assert started.returncode == 0, started.stdout + started.stderr
    return Shop(checkout)
