import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from shutil import copy

import pytest
import requests

from shopkit.testing import Network, Wiring, take_refusals

ROOT = Path(__file__).parents[2]
SWALLOWING = """
from contextlib import suppress
import pytest, requests

def test_it(network):
    session = requests.Session()
    session.mount("http://", network)
    with suppress(Exception):
        session.get("http://127.0.0.1/thing")

def test_the_next(network):
    network.on("GET", "/thing")
    session = requests.Session()
    session.mount("http://", network)
    session.get("http://127.0.0.1/thing")
"""


@pytest.fixture(params=[Network, Wiring])
def fake(request):
    """Each of the fake networks."""
    return request.param()


def _ask(fake):
    """Call another service as code does that takes any error for an absent service."""
    session = requests.Session()
    session.mount("http://", fake)
    with suppress(Exception):
        return session.get("http://127.0.0.1:5999/thing")


def test_what_no_test_foresaw_is_remembered_though_the_caller_swallows_it():
    _ask(Network())

    assert take_refusals() == ["the test did not say what GET /thing answers"]
    assert take_refusals() == []


def test_a_call_inside_a_transaction_is_remembered_though_the_caller_swallows_it(app, fake, notes_db, note):
    with app.app_context():
        notes_db.session.get(note, 1)

        _ask(fake)

        assert take_refusals() == [f"{app.name} calls another service while its transaction is open"]


def test_a_service_that_is_scripted_to_be_down_is_no_surprise():
    network = Network()
    network.down("GET", "/thing")

    assert _ask(network) is None
    assert take_refusals() == []


def test_a_test_whose_code_swallows_a_refusal_fails_at_its_end_and_the_next_one_does_not(tmp_path):
    copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_swallowing.py").write_text(SWALLOWING)
    pytest_here = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-c", ROOT / "pyproject.toml", "--rootdir", "."]

    run = subprocess.run(  # noqa: S603
        [*pytest_here, "test_swallowing.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )

    assert run.returncode == 1
    assert "ERROR at teardown of test_it" in run.stdout
    assert "the test did not say what GET /thing answers" in run.stdout
    assert "2 passed, 1 error" in run.stdout
