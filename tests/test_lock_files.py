"""The lock files say of every package which version it is, and what its files are."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PRODUCT, TOOLS = ROOT / "requirements.txt", ROOT / "requirements-dev.txt"


def _canonical(name):
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(file):
    """What a lock file says of each package: {name: (version, number of hashes)}."""
    entries = re.split(r"\n(?=[a-z0-9])", file.read_text())
    found = {}
    for entry in entries:
        if pinned := re.match(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", entry):
            found[_canonical(pinned[1])] = pinned[2], entry.count("--hash=sha256:")
    return found


def _wanted(*files):
    """The requirements that people have written."""
    lines = [line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-e ")]


@pytest.mark.parametrize("file", [PRODUCT, TOOLS], ids=lambda file: file.name)
def test_every_package_has_a_version_and_hashes(file):
    locked = _locked(file)

    assert len(locked) > 30
    assert [name for name, (_, hashes) in locked.items() if not hashes] == []


def test_what_the_services_need_is_locked_within_its_bounds():
    locked = _locked(PRODUCT)
    kit = re.search(r"dependencies = \[(.*?)\n\]", (ROOT / "kit/pyproject.toml").read_text(), re.DOTALL)[1]
    wanted = _wanted(*ROOT.glob("services/*/requirements.txt"), ROOT / "api-gateway/requirements.txt")
    wanted += [Requirement(each) for each in re.findall('"(.+)"', kit)]

    assert [str(each) for each in wanted if not _is_locked(each, locked)] == []


def test_the_tools_are_locked_within_their_bounds():
    locked = _locked(TOOLS)

    assert [str(each) for each in _wanted(ROOT / "requirements-dev.in") if not _is_locked(each, locked)] == []


def _is_locked(requirement, locked):
    version, _ = locked.get(_canonical(requirement.name), (None, 0))
    return version is not None and requirement.specifier.contains(version)


def test_tools_are_no_part_of_the_product_and_agree_with_it():
    product, tools = _locked(PRODUCT), _locked(TOOLS)

    assert not product.keys() & {"pytest", "ruff", "mypy", "hypothesis", "uv"}
    assert {name: tools[name] for name in product.keys() & tools.keys()} == {
        name: product[name] for name in product.keys() & tools.keys()
    }


def test_every_package_that_is_installed_is_locked():
    installed = {_canonical(each.name) for each in distributions()} - {"pip", "shopkit"}

    assert installed - _locked(PRODUCT).keys() - _locked(TOOLS).keys() == set()


def test_no_address_of_a_package_index_is_written_down():
    for file in (PRODUCT, TOOLS):
        assert "://" not in file.read_text()


@pytest.mark.parametrize("workflow", [*ROOT.glob(".github/workflows/*.yml")], ids=lambda path: path.name)
def test_actions_of_others_are_pinned_by_commit(workflow):
    used = re.findall(r"uses: *(.+)", workflow.read_text())

    assert used
    assert [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", each)] == []


def test_every_python_that_the_kit_supports_is_tried():
    lowest = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "kit/pyproject.toml").read_text())[1]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci-cd.yml").read_text())

    tried = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]

    assert tried == [f"3.{minor}" for minor in range(int(lowest), int(lowest) + 4)]
