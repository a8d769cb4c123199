"""What is documented is what there is."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["api-gateway", *(f"services/{path.name}" for path in (ROOT / "services").glob("*-service"))]
# Read by gunicorn and at preparation, not by the app.
AROUND_THE_APP = {"SEED_DEMO_DATA", "WEB_CONCURRENCY", "THREADS", "HOST", "LOG_MAX_BYTES"}
API, SETTINGS = (ROOT / "docs/api.md").read_text(), (ROOT / "docs/settings.md").read_text()
EXAMPLE = "services/gift-service"  # CONTRIBUTING.md makes it up
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def _example(folder):
    return set(re.findall(r"^#?([A-Z][A-Z_]*)=", (ROOT / folder / ".env.example").read_text(), re.MULTILINE))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_setting_stands_in_the_example_and_nothing_else_does(folder, running_from):
    with running_from(folder):
        known = {each.name.upper() for each in fields(import_module("settings").Settings)}
    if folder == "services/auth-service":
        known -= {"AUTH_SERVICE_URL"}

    assert known <= _example(folder)
    assert _example(folder) - known <= AROUND_THE_APP


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_setting_is_explained(folder):
    assert {name for name in _example(folder) if f"`{name}`" not in SETTINGS} == set()


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_every_public_endpoint_is_in_the_api_documentation(folder, make_app, network):
    missing = set()
    for rule in make_app(folder, network).url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule)
        if not path.startswith("/internal/") and f"{path}`" not in API:
            missing.add(path)

    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page):
    """A path as a page writes it, from the root of the repository."""
    named = re.findall(r"`((?:kit|tests|docs|services|api-gateway|benchmarks)/[\w./-]+)`", page.read_text())

    assert [path for path in named if not (ROOT / path).exists() and EXAMPLE not in path] == []


def test_every_script_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()

    assert [path.name for path in ROOT.glob("*.sh") if path.name != "services.sh" and path.name not in readme] == []


def test_no_secret_is_committed():
    for folder in FOLDERS:
        text = (ROOT / folder / ".env.example").read_text()
        for name, value in re.findall(r"^(\w*(?:SECRET|KEY|PASSWORD)\w*)=(.+)$", text, re.MULTILINE):
            assert value.startswith("<"), f"{folder}: {name}"
