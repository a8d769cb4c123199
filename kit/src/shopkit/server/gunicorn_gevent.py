"""How gunicorn serves what holds thousands of connections open (`-c python:shopkit.server.gunicorn_gevent`)."""

from gevent import monkey

monkey.patch_all()  # before anything else, since the app is loaded before the workers are forked

import resource  # noqa: E402

from shopkit.server.gevent_worker import Worker  # noqa: E402
from shopkit.server.gunicorn_conf import *  # noqa: E402, F403 - the same settings, but for the worker
from shopkit.settings import server_setting  # noqa: E402


def _allow_open_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


worker_class = Worker
workers = 1  # Socket.IO sessions live in one process; more capacity is more instances
worker_connections = int(server_setting("MAX_SOCKETS", "3000")) + 500  # so that open sockets leave room for requests
keepalive = 30
sendfile = False  # it would send without the head that waits for a body
limit_request_line = limit_request_field_size = 8190
limit_request_fields = 100
http_parser = "python"  # the one that is made stricter, whatever is installed
# Nobody's word is taken for what the connection is, and no header may pass for another by its underscores.
forwarded_allow_ips = forwarder_headers = ""
header_map = "refuse"

_allow_open_files(3 * worker_connections)  # a WebSocket through the gateway is two
