"""What holds for the settings of everything that serves."""

import re
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest

from shopkit.settings import SettingsError

ROOT = Path(__file__).parents[1]
FOLDERS = ["api-gateway", *(f"services/{path.name}" for path in (ROOT / "services").glob("*-service"))]
SECRET = re.compile("secret|api_key|service_clients|_uri$|redis_url|amqp_url")


@pytest.fixture(params=FOLDERS)
def settings_class(request, running_from):
    with running_from(request.param):
        return import_module("settings").Settings


def _required(settings_class):
    names = [each.name for each in fields(settings_class) if each.default is each.default_factory is MISSING]
    return {name.upper(): "given" for name in names}


def test_an_empty_setting_means_its_default(settings_class):
    required = _required(settings_class)
    empty = {each.name.upper(): " " for each in fields(settings_class)}

    assert settings_class.from_env({**empty, **required}) == settings_class.from_env(required)


@pytest.mark.parametrize("settings_class", FOLDERS[1:], indirect=True)
def test_all_that_is_missing_is_named_at_once(settings_class):
    required = _required(settings_class)
    with pytest.raises(SettingsError) as error:
        settings_class.from_env({})

    assert re.findall("^(.*) is missing", str(error.value), re.MULTILINE) == list(required)


def test_no_secret_is_printed_with_the_settings(settings_class):
    printed = {each.name for each in fields(settings_class) if each.repr}

    assert {name for name in printed if SECRET.search(name)} == set()
