"""Everything that rests on names which other packages do not promise lives in one place, listed and watched."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

for package in ("gevent", "engineio", "socketio"):
    pytest.importorskip(package)

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "kit/src/shopkit/server"
PAGE = (ROOT / "docs/server-room.md").read_text()
LISTED = re.findall(r"^\| `([a-z0-9_]+\.[\w.]+)`", PAGE, re.MULTILINE)

# What has its place in the room only. Of urllib3 and http.client others may use what is documented.
PRIVATE = (
    "gunicorn",
    "engineio",
    "simple_websocket",
    "socketio.packet",
    "urllib3.connection",
    "urllib3.connectionpool",
)
PACKAGES = ("gunicorn", "gevent", "urllib3", "engineio", "socketio", "flask_socketio", "eventlet.wsgi")
DISTRIBUTIONS = (
    *("gunicorn", "gevent", "urllib3", "requests"),
    *("flask-socketio", "python-engineio", "python-socketio", "eventlet"),
)


def _sources() -> list[Path]:
    product = [*ROOT.glob("kit/src/**/*.py"), *ROOT.glob("api-gateway/**/*.py"), *ROOT.glob("services/*/**/*.py")]
    return [each for each in product if "tests" not in each.parts and "migrations" not in each.parts]


def _imports(path: Path) -> set[str]:
    """Dotted names: `from gunicorn.http import wsgi` is `gunicorn.http.wsgi`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def _resolve(name: str) -> tuple[object, list[str]]:
    """The longest part of a dotted name that is a module, and what is left."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            return import_module(".".join(parts[:end])), parts[end:]
        except ModuleNotFoundError:
            continue
    raise AssertionError(f"{name} is of no module")


def _exists(name: str) -> bool:
    owner, rest = _resolve(name)
    for attribute in rest:
        if hasattr(owner, attribute):
            owner = getattr(owner, attribute)
        else:
            return inspect.isclass(owner) and _is_set_by(owner, attribute)
    return True


def _is_set_by(kind: type, attribute: str) -> bool:
    """Whether its instances have it."""
    ours = [each for each in kind.__mro__ if each.__module__ not in ("builtins", "_io", "io", "abc", "typing")]
    sources = [inspect.getsource(each) for each in ours]
    return any(re.search(rf"\bself\.{attribute}(: [^=\n]+)? =|\bself\.{attribute}\b.*=", each) for each in sources)


@pytest.mark.parametrize("name", [each for each in LISTED if not each.startswith("eventlet.")])
def test_each_private_name_that_we_rest_on_still_exists(name):
    assert _exists(name)


def test_eventlets_names_exist_too():
    """In a process of its own: whoever has imported eventlet is warned at each fork from then on."""
    names = [each.removeprefix("eventlet.wsgi.") for each in LISTED if each.startswith("eventlet.")]
    program = f"from eventlet import wsgi; {'; '.join(f'wsgi.{each}' for each in names)}"

    assert names
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, check=True)  # noqa: S603


def test_a_name_that_is_gone_would_be_noticed():
    assert len(LISTED) > 50
    assert not _exists("gunicorn.http.wsgi.Response._no_such_method")
    assert not _exists("http.client.no_such_class")


def test_whatever_the_room_imports_of_these_packages_is_listed():
    modules = [each for each in ROOM.glob("*.py") if each.is_file()]
    used = {name for each in modules for name in _imports(each) if _is_below(name, PACKAGES)}
    documented = {"urllib3"}  # the package's own names

    missing = {
        name
        for name in used
        if not any(listed == name or listed.startswith(f"{name}.") for listed in LISTED)
        and name.rpartition(".")[0] not in documented
    }

    assert missing == set()


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_imports_what_is_private(path):
    if path.is_relative_to(ROOM):
        pytest.skip("this is the room")

    assert {name for name in _imports(path) if _is_below(name, PRIVATE)} == set()
    assert "_original_response" not in path.read_text()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_of_these_packages_has_an_upper_bound(name):
    places = [ROOT / "kit/pyproject.toml", *ROOT.glob("*/requirements.txt"), *ROOT.glob("services/*/requirements.txt")]
    lines = [line.strip(' ",') for each in places for line in each.read_text().splitlines()]
    asked = [line for line in lines if re.match(rf"{name}\b(?!-)", line)]

    assert asked
    assert all("<" in line or "==" in line for line in asked)
