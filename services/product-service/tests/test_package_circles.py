"""No two packages of the service need each other, not even by way of others."""

import ast
from pathlib import Path

PACKAGES = {file.parent.name: file.parent for file in Path(__file__).parents[1].glob("*/__init__.py")}


def _needed_by(package):
    nodes = [node for file in package.glob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {module.partition(".")[0] for module in modules} & PACKAGES.keys() - {package.name}


def test_the_packages_have_an_order_in_which_each_needs_earlier_ones_only():
    left = {name: _needed_by(package) for name, package in PACKAGES.items()}
    while independent := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in independent}

    assert left == {}
