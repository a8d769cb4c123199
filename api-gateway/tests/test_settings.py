import pytest

from settings import Settings
from shopkit.settings import SettingsError


def _read(**environ):
    return Settings.from_env({"SECRET_KEY": "x", **environ})


def test_a_service_may_have_several_addresses():
    settings = _read(CART_SERVICE_URL="http://a:5004/, http://b:5004")

    assert settings.upstream_urls["cart-service"] == ["http://a:5004", "http://b:5004"]
    assert settings.upstream_urls["auth-service"] == ["http://127.0.0.1:5001"]


def test_a_number_may_be_another_for_some_services():
    settings = _read(READ_TIMEOUT="20, order=60,customer-support=45.5")

    assert settings.read_timeout["cart-service"] == 20
    assert settings.read_timeout["order-service"] == 60
    assert settings.read_timeout["customer-support-service"] == 45.5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CART_SERVICE_URL", "https://a", "looks like http://host:port"),
        ("CART_SERVICE_URL", "http://a:5004/cart", "looks like http://host:port"),
        ("CART_SERVICE_URL", "http://user:secret@a:5004", "looks like http://host:port"),
        ("CART_SERVICE_URL", "http://a:port", "looks like http://host:port"),
        ("CART_SERVICE_URL", ",", "looks like http://host:port"),
        ("PUBLIC_URL", "shop.example.com", "looks like https://shop.example.com"),
        ("PUBLIC_URL", "https://shop.example.com/?a=1", "looks like https://shop.example.com"),
        ("PUBLIC_URL", "https://user@shop.example.com", "looks like https://shop.example.com"),
        ("PUBLIC_URL", "https://shop.example.com/a b", "looks like https://shop.example.com"),
        ("CORS_ORIGINS", "shop.example.com", "looks like https://shop.example.com"),
        ("FRONTEND_URL", "https://shop.example.com/app", "looks like https://shop.example.com"),
        ("READ_TIMEOUT", "order=60", "a number for all services"),
        ("READ_TIMEOUT", "30,orders=60", "no orders-service"),
        ("READ_TIMEOUT", "30,order=soon", "30,order=60"),
        ("CONNECT_TIMEOUT", "0", "above zero"),
        ("CONNECT_TIMEOUT", "nan", "above zero"),
        ("MAX_IN_FLIGHT", "-1", "above zero"),
        ("MAX_SOCKETS", "-1", "a whole number from zero"),
        ("TRUSTED_PROXIES", "one", "a whole number from zero"),
        ("RATE_LIMIT", "often", "20/second burst 100"),
        ("ADDRESS_RATE_LIMIT", "1/week burst 1", "20/second burst 100"),
        ("REDIS_URL", "http://127.0.0.1", "redis://"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_what_would(name, value, words):
    with pytest.raises(SettingsError, match=f"^{name} does not make sense: .*{words}"):
        _read(**{name: value})
