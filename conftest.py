"""One pytest run for every service, though each has its own app.py and models.py.

While a test below services/order-service is collected or run, that folder is first on sys.path and only its modules
are loaded: just as when the service runs alone.

    pytest                                              everything, on SQLite; what must hold on both, on both
    pytest services --postgres                          the same tests on PostgreSQL (TEST_POSTGRES_URI says which)
"""

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from shopkit import prepare
from shopkit.testing import Network, take_refusals

ROOT = Path(__file__).parent
RUN_DIRECTORIES = [ROOT / "api-gateway", *(ROOT / "services").glob("*-service")]
POSTGRES_URI = os.environ.get("TEST_POSTGRES_URI", "postgresql+psycopg://postgres@127.0.0.1:5432/test")

ENVIRONMENT = {
    "SECRET_KEY": "a secret of the tests",
    "JWT_SECRET_KEY": "a secret of the tests, long enough for HS256",
    "SERVICE_CLIENTS": ",".join(f"{name}-service:a service's secret" for name in ("cart", "order", "product")),
    "SERVICE_CLIENT_SECRET": "a service's secret",
}
PEOPLE = {
    "alice": {"id": 1, "username": "alice", "email": "alice@example.com", "role": "customer"},
    "bob": {"id": 2, "username": "bob", "email": "bob@example.com", "role": "customer"},
    "support": {"id": 3, "username": "support", "email": "support@example.com", "role": "support"},
    "admin": {"id": 4, "username": "admin", "email": "admin@example.com", "role": "admin"},
    "newcomer": {"id": 99, "username": "newcomer", "email": "newcomer@example.com", "role": "customer"},
    "a-service": {"id": 0, "username": "a-service", "email": "", "role": "service"},
}

_modules_of: dict[Path, dict[str, ModuleType]] = {}


def pytest_addoption(parser):
    parser.addoption("--postgres", action="store_true", help="run the services' tests on PostgreSQL, not on SQLite")


def pytest_collection_modifyitems(items):
    """What starts processes waits for them, and may wait in vain on a busy machine: it has a second try, which is told.

    Everything else has to pass at once, whatever else the machine does.
    """
    for item in items:
        if item.get_closest_marker("processes"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@contextmanager
def running_from_its_folder(path: Path) -> Iterator[None]:
    home = next((d for d in RUN_DIRECTORIES if path.is_relative_to(d)), None)
    if home is None:
        yield
        return
    sys.path.insert(0, str(home))
    sys.modules.update(_modules_of.get(home, {}))
    try:
        yield
    finally:
        sys.path.remove(str(home))
        _modules_of[home] = {n: m for n, m in list(sys.modules.items()) if _lives_in(home, m)}
        for name in _modules_of[home]:
            del sys.modules[name]


def _lives_in(folder: Path, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    with running_from_its_folder(collector.path):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with running_from_its_folder(item.path):
        return (yield)


@pytest.fixture(scope="module", autouse=True)
def _sockets_are_collected_where_they_were_left(request):
    """Clients of real processes leave sockets behind when a server goes away in the middle of what they say.

    The garbage collector would warn of them in whatever test happens to run then, and there a warning is an error.
    """
    yield
    items = [item for item in request.session.items if item.getparent(pytest.Module) is request.node]
    if any(item.get_closest_marker("processes") for item in items):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="session")
def running_from():
    """Load another service's modules: `with running_from("services/auth-service"): …`"""
    return lambda folder: running_from_its_folder(ROOT / folder)


@pytest.fixture(autouse=True)
def nothing_refused():
    """Fail at the end of a test in which a fake network refused something, even if the code swallowed the error."""
    yield
    if refusals := take_refusals():
        pytest.fail("\n".join(refusals), pytrace=False)


@pytest.fixture
def network():
    """All other services; the auth service among them knows PEOPLE, whose tokens are their names."""
    network = Network()
    network.on("POST", "/validate", answer=_validate)
    return network


def _validate(request):
    user = PEOPLE.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if user is None:
        return 401, {"detail": "The token is not valid.", "code": "not_signed_in"}
    return 200, {"valid": True, "user": user}


def _headers(name):
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def alice():
    return _headers("alice")


@pytest.fixture
def bob():
    return _headers("bob")


@pytest.fixture
def newcomer():
    """Somebody who has nothing in any service."""
    return _headers("newcomer")


@pytest.fixture
def support():
    return _headers("support")


@pytest.fixture
def admin():
    return _headers("admin")


@pytest.fixture
def service():
    return _headers("a-service")


@pytest.fixture
def database_uri(request, tmp_path):
    """An empty database for one service."""
    return _postgres() if request.config.getoption("--postgres") else _sqlite(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database_uri(request, tmp_path):
    """An empty database of each kind, one after the other; the second where there is one."""
    if request.param == "sqlite":
        return _sqlite(tmp_path)
    try:
        return _postgres()
    except sa.exc.OperationalError as error:
        pytest.skip(f"no PostgreSQL: {error.orig}")


def _sqlite(folder):
    return f"sqlite:///{folder}/service.db"


def _postgres():
    schema = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    engine = sa.create_engine(POSTGRES_URI, connect_args={"connect_timeout": 3})
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    engine.dispose()
    return f"{POSTGRES_URI}?options=-csearch_path%3D{schema}"


@pytest.fixture(scope="session")
def environment():
    """The settings that have no default."""
    return dict(ENVIRONMENT)


@pytest.fixture(scope="session")
def postgres_uri():
    """Where PostgreSQL answers; what needs it is skipped where none does."""
    engine = sa.create_engine(POSTGRES_URI, connect_args={"connect_timeout": 3})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        pytest.skip(f"no PostgreSQL: {error.orig}")
    finally:
        engine.dispose()
    return POSTGRES_URI


@pytest.fixture
def settings(database_uri):
    return import_module("settings").Settings.from_env({**ENVIRONMENT, "DATABASE_URI": database_uri})


@pytest.fixture
def app(settings, network):
    """The service under test, on an empty database and with no other service but `network`."""
    app = import_module("app").create_app(settings, network)
    db = import_module("models").db
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def seeded(app):
    """The service with the data of the demonstration."""
    with app.app_context():
        prepare.fill(app)
    return app
