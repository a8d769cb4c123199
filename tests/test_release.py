"""A release has one version, in one place, and a date."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import shopkit

ROOT = Path(__file__).parents[1]
FILES = ("release.sh", "CHANGELOG.md", "kit/src/shopkit/__init__.py")


@pytest.fixture
def git(tmp_path):
    """A repository with what a release changes; `git(…)` runs git in it."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)

    def git(*arguments):
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    git("init", "-q")
    git("config", "user.name", "Somebody")
    git("config", "user.email", "somebody@example.com")
    git("add", ".")
    git("commit", "-qm", "All of it")
    return git


@pytest.fixture
def release(git, tmp_path):
    def release(version):
        return subprocess.run([tmp_path / "release.sh", version], capture_output=True, text=True, check=False)  # noqa: S603

    return release


def test_a_release_is_written_dated_committed_and_tagged(git, release, tmp_path):
    done = release("12.3.4")

    assert done.returncode == 0, done.stderr
    assert '__version__ = "12.3.4"\n' in (tmp_path / "kit/src/shopkit/__init__.py").read_text()
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    assert re.search(r"^## 12\.3\.4 - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert "Unreleased" not in changelog
    assert git("status", "--porcelain") == ""
    assert git("describe") == "v12.3.4"
    assert git("log", "-1", "--format=%s") == "Release 12.3.4"


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3; true"])
def test_what_is_no_version_is_refused(git, release, version):
    assert release(version).returncode == 1
    assert git("log", "--format=%s") == "All of it"


def test_a_release_is_made_of_what_is_committed(git, release, tmp_path):
    (tmp_path / "CHANGELOG.md").write_text("## Unreleased\n")

    refused = release("12.3.4")

    assert (refused.returncode, refused.stderr) == (1, "There are changes that are not committed.\n")


def test_a_release_is_made_once(git, release, tmp_path):
    git("tag", "v12.3.4")

    assert release("12.3.4").stderr == "There is a release 12.3.4 already.\n"


def test_every_document_of_the_api_has_the_version(make_app, network):
    network.on("GET", "/openapi.json", {"paths": {}, "components": {"schemas": {}}})
    for folder in ("services/cart-service", "api-gateway"):
        document = make_app(folder, network).test_client().get("/openapi.json").json
        assert document["info"]["version"] == shopkit.__version__
