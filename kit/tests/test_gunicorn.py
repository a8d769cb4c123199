import json
import os
import subprocess
import sys

LOOK = """
import json, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from shopkit.server import gunicorn_gevent
print(json.dumps([gunicorn_gevent.worker_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard]))
"""


def test_open_sockets_leave_room_for_requests_and_each_may_be_two_files():
    found = subprocess.run(  # noqa: S603 - our own command: it patches the process that it is loaded in
        [sys.executable, "-c", LOOK],
        env={**os.environ, "PORT": "5000", "MAX_SOCKETS": "5000"},
        check=True,
        capture_output=True,
    )
    connections, files, most_files = json.loads(found.stdout)

    assert connections > 5000
    assert files >= min(2 * connections, most_files)


READ = """
import json
from shopkit.server import gunicorn_conf as conf
print(json.dumps([conf.bind, conf.workers, conf.threads]))
"""


def _read(folder, **environment):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", READ], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_an_empty_setting_of_the_server_means_its_default(tmp_path):
    """`HOST=` must not open the network."""
    (tmp_path / "cart-service").mkdir()
    settings = ("HOST", "PORT", "WEB_CONCURRENCY", "THREADS", "LOG_MAX_BYTES")
    (tmp_path / "cart-service/.env").write_text("".join(f"{name}=\n" for name in settings))

    read = _read(tmp_path / "cart-service")

    assert json.loads(read.stdout) == ["127.0.0.1:5004", 1, 8], read.stderr


def test_a_setting_of_the_server_that_makes_no_sense_is_named(tmp_path):
    read = _read(tmp_path, WEB_CONCURRENCY="many")

    assert read.returncode == 1
    assert "WEB_CONCURRENCY does not make sense: it has to be a whole number above zero." in read.stderr
