"""The capabilities of the service are packages that know of each other only what they say, and never in a circle."""

import ast
import re
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[1]
PACKAGES = {file.parent.name: file.parent for file in SERVICE.glob("*/__init__.py")}


def _imported(package):
    """The other packages of the service from which modules of this one import."""
    nodes = [node for file in PACKAGES[package].glob("**/*.py") for node in ast.walk(ast.parse(file.read_text()))]
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {module.partition(".")[0] for module in modules} & PACKAGES.keys() - {package}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_from_those_that_its_sentence_names(package):
    sentence = ast.get_docstring(ast.parse((PACKAGES[package] / "__init__.py").read_text()))

    assert _imported(package) == set(re.findall(r"`(\w+)`", sentence))


def test_no_two_packages_need_each_other_not_even_by_way_of_others():
    left = {package: _imported(package) for package in PACKAGES}
    while independent := {package for package, needed in left.items() if not needed & left.keys()}:
        left = {package: needed for package, needed in left.items() if package not in independent}

    assert left == {}
