"""Apps are made by who serves them, of what is handed to them, and by nobody who only imports their modules."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shop_services import GATEWAY, SERVICES

ROOT = Path(__file__).parents[1]
LOOKS_INTO_THE_APP = re.compile(r"current_app\.(config|extensions)")
IMPORT = """
import gc, sys
sys.path.insert(0, sys.argv[1])
import app
from flask import Flask
print([each for each in gc.get_objects() if isinstance(each, Flask)])
"""


@pytest.mark.parametrize("folder", [each.folder for each in (*SERVICES, GATEWAY)])
def test_importing_app_builds_none_and_needs_no_settings(folder, tmp_path):
    """In an environment without secrets, which no settings can be read from, and a folder of its own."""
    imported = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", IMPORT, ROOT / folder], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )

    assert (imported.stdout, imported.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_only_the_kit_looks_into_an_app_for_what_it_needs():
    modules = [*ROOT.glob("services/**/*.py"), *ROOT.glob("api-gateway/**/*.py")]
    looking = {str(each.relative_to(ROOT)) for each in modules if LOOKS_INTO_THE_APP.search(each.read_text())}

    assert {each for each in looking if "/tests/" not in each} == set()
