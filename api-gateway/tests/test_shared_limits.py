"""Rate limits as operators run them: several gateways, and a Redis that is there or is not."""

import pytest
import redis

pytestmark = pytest.mark.processes

AWAY = "redis://127.0.0.1:9/0"
BUCKETS = [f"limit:{policy}:127.0.0.1" for policy in ("requests", "address", "sign-in-address", "registration")]


@pytest.fixture
def fresh_redis(redis_url):
    """A Redis without buckets: a client's address is the same in every run."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*BUCKETS)
        yield redis_url
        client.delete(*BUCKETS)


def test_several_gateways_count_together_in_redis(start, fresh_redis):
    limits = {"RATE_LIMIT": "1/hour burst 4", "REDIS_URL": fresh_redis}
    with start(**limits) as one, start(**limits) as other:
        statuses = [gateway.ask("GET", "/products").status for gateway in (one, other, one, other, one, other)]

    assert statuses == [200] * 4 + [429] * 2


def test_several_gateways_count_all_that_an_address_asks_together(start, fresh_redis):
    limits = {"ADDRESS_RATE_LIMIT": "1/hour burst 4", "REDIS_URL": fresh_redis}
    with start(**limits) as one, start(**limits) as other:
        asked = [(one, "/products"), (other, "/docs"), (one, "/nothing-here"), (other, "/cart")] * 2
        statuses = [gateway.ask("GET", path).status for gateway, path in asked]

    assert statuses == [200, 200, 404, 200] + [429] * 4


def test_several_gateways_count_registrations_together(start, fresh_redis):
    limits = {"REGISTRATION_RATE_LIMIT": "1/day burst 2", "REDIS_URL": fresh_redis, "SIGN_IN_RATE_LIMIT": "off"}
    with start(**limits) as one, start(**limits) as other:
        statuses = [gateway.ask("POST", "/register", b"{}").status for gateway in (one, other, one, other)]

    assert statuses == [200] * 2 + [429] * 2


def test_without_redis_each_gateway_counts_for_itself(start):
    limits = {"RATE_LIMIT": "1/hour burst 2", "REDIS_URL": AWAY}
    with start(**limits) as one, start(**limits) as other:
        statuses = [gateway.ask("GET", "/products").status for gateway in (one, one, one, other, other, other)]

    assert statuses == [200, 200, 429] * 2
