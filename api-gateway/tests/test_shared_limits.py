"""Rate limits as operators run them: several gateways, and a Redis that is there or is not."""

import pytest
import redis

pytestmark = pytest.mark.processes

AWAY = "redis://127.0.0.1:9/0"


@pytest.fixture
def redis_url():
    """An empty database of a Redis that nobody else uses: a client's address is the same in every test."""
    url = "redis://127.0.0.1:6379/11"
    client = redis.Redis.from_url(url)
    try:
        client.flushdb()
    except redis.ConnectionError:
        pytest.skip("there is no Redis on 127.0.0.1:6379")
    yield url
    client.flushdb()
    client.close()


def _status(gateway):
    connection = gateway.connect()
    connection.request("GET", "/products")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.xdist_group("redis database 11")
def test_several_gateways_count_together_in_redis(start, upstream, redis_url):
    limits = {"RATE_LIMIT": "1/hour burst 4", "REDIS_URL": redis_url}
    with start(**limits) as one, start(**limits) as other:
        statuses = [_status(gateway) for gateway in (one, other, one, other, one, other)]

    assert statuses == [200] * 4 + [429] * 2


def test_without_redis_each_gateway_counts_for_itself(start, upstream):
    limits = {"RATE_LIMIT": "1/hour burst 2", "REDIS_URL": AWAY}
    with start(**limits) as one, start(**limits) as other:
        statuses = [_status(gateway) for gateway in (one, one, one, other, other, other)]

    assert statuses == [200, 200, 429] * 2
