"""A service that is cut into packages by capability: each says in its sentence which of the others it knows."""

import ast
import re
from pathlib import Path

import pytest

PACKAGES = [
    each.parent for each in Path(__file__).parents[1].glob("services/*/*/__init__.py") if each.parent.name != "tests"
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: f"{package.parent.name}, {package.name}")
def test_a_package_imports_the_packages_that_its_sentence_names_and_no_others(package):
    siblings = {each.name for each in PACKAGES if each.parent == package.parent} - {package.name}
    sentence = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))

    imported = {name.partition(".")[0] for module in package.glob("*.py") for name in _imports(module)}

    assert imported & siblings == set(re.findall("`(.+?)`", sentence))


def _imports(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
