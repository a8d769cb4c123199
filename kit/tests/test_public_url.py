import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from shopkit.public_url import absolute, is_loopback, relative
from shopkit.schemas import Input, Output, OwnUrl, PublicUrl

HOME = "http://localhost:5000"
LAMP = "/images/lamp.svg"


class Lamp(Output):
    picture: PublicUrl | None


class LampChange(Input):
    picture: OwnUrl


@pytest.fixture
def called():
    """As if a request came through a gateway that says this: `with called("https://shop.example"): …`"""
    app = Flask(__name__)
    return lambda public_url: app.test_request_context(headers={"X-Public-Url": public_url} if public_url else {})


@pytest.mark.parametrize(
    ("public_url", "shown"),
    [("", LAMP), (HOME, HOME + LAMP), ("https://a.example/shop", "https://a.example/shop" + LAMP)],
)
def test_what_is_stored_as_a_path_is_shown_as_whoever_asks_can_use_it(called, public_url, shown):
    with called(public_url):
        assert Lamp(picture=LAMP).model_dump(mode="json") == {"picture": shown}
        assert Lamp(picture=LAMP).model_dump() == {"picture": LAMP}
        assert LampChange(picture=f" {shown} ").picture == LAMP


@pytest.mark.parametrize("address", ["https://elsewhere.example/lamp.svg", None])
def test_what_is_absolute_already_or_nothing_stays_as_it_is(called, address):
    with called(HOME):
        assert Lamp(picture=address).model_dump(mode="json") == {"picture": address}


def test_outside_of_requests_everything_is_a_path():
    assert absolute(LAMP) == relative(LAMP) == LAMP


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_all_loopback_hosts_are_one_machine(called, host):
    with called(HOME):
        assert relative(f"http://{host}:5000{LAMP}") == LAMP


@pytest.mark.parametrize(
    "address",
    [
        *("http://localhost:5001/a", "https://localhost:5000/a", "http://localhost.evil.example:5000/a"),
        *(
            "http://localhost:5000.evil.example/a",
            "http://localhost:50000/a",
            "http://shop.example:5000/a",
            "//localhost:5000/a",
        ),
    ],
)
def test_an_address_elsewhere_is_kept_whole(called, address):
    with called(HOME):
        assert relative(address) == address


@given(st.text("abc/:.@?#%", max_size=20), st.sampled_from(["", HOME, "https://a.example", "https://a.example/shop"]))
def test_what_is_shown_comes_back_as_it_was_stored(rest, public_url):
    with Flask(__name__).test_request_context(headers={"X-Public-Url": public_url}):
        assert relative(absolute(f"/{rest}")) == f"/{rest}"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:80", "[::1]", "[::1]:5000"])
def test_a_loopback_host_is_known_with_a_port_and_without(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "shop.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:127", "10.0.0.1"),
        *("localhost:5000/evil", "evil@localhost", "localhost@evil.example", "localhost:", "::1"),
    ],
)
def test_what_only_looks_like_a_loopback_host_is_none(host):
    assert not is_loopback(host)
