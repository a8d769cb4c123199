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
