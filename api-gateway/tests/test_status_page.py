import base64
import hashlib
import re
from pathlib import Path

import pytest
from flask import Flask

from pages import status_page
from pages.status_page import ServiceHealth
from routing import SERVICES

FINE = ServiceHealth(milliseconds=12.34, instances=1, instances_ok=1)
STRAINED = ServiceHealth(milliseconds=3, instances=3, instances_ok=2)
AWAY = ServiceHealth(milliseconds=None, instances=1, instances_ok=0)


@pytest.fixture
def app():
    return Flask("gateway", root_path=str(Path(status_page.__file__).parent))


@pytest.fixture
def show(app):
    def show(**states):
        states = dict.fromkeys(SERVICES, FINE) | {f"{name}-service": state for name, state in states.items()}
        app.add_url_rule("/", view_func=lambda: status_page.page(states), endpoint="status")
        return app.test_client().get("/")

    return show


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("text/*", True),
        ("application/json;q=0.5, text/html", True),
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0.5, application/json", False),
        ("image/png", False),
        ("nonsense", False),
    ],
)
def test_a_page_is_for_who_would_rather_have_one_than_json(app, accept, wanted):
    with app.test_request_context(headers={"Accept": accept} if accept else {}):
        assert status_page.is_wanted() == wanted


def test_every_service_is_shown_with_its_state_and_how_long_it_takes(show):
    rows = re.findall(r"<tr>.*?</tr>", show(cart=STRAINED, order=AWAY).text, re.DOTALL)[1:]
    shown = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]

    assert shown == [
        "Accounts auth-service ✓ works 12 ms",
        "Profile profile-service ✓ works 12 ms",
        "Catalogue product-service ✓ works 12 ms",
        "Cart cart-service ! degraded 2 of 3 instances 3 ms",
        "Orders order-service ✕ away \N{EN DASH}",
        "Support customer-support-service ✓ works 12 ms",
    ]


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({}, "Everything works"),
        ({"cart": STRAINED}, "Everything works, with less in reserve"),
        ({"cart": STRAINED, "order": AWAY}, "1 of 6 services is away"),
        ({"cart": AWAY, "order": AWAY}, "2 of 6 services are away"),
    ],
)
def test_the_whole_is_as_well_as_its_weakest_part(show, states, sentence):
    html = show(**states).text

    assert f"</span>{sentence}</h1>" in html
    assert f"<title>{sentence} " in html


def test_the_page_leads_on_from_wherever_it_is(show):
    assert re.findall(r'<a href="(.*?)"', show().text) == ["", "docs", "openapi.json", "health"]


def test_browsers_load_nothing_and_run_nothing_for_it_and_take_its_own_style(show):
    response = show()

    style = re.search("<style>(.*)</style>", response.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not re.search(r"<script|<img|\son\w+=|\sstyle=|url\(|@import", response.text)


def test_it_is_of_this_moment_and_for_who_prefers_pages(show):
    headers = show().headers

    assert (headers["Cache-Control"], headers["Vary"]) == ("no-store", "Accept")
