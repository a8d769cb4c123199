"""How gunicorn serves what holds thousands of connections open: `gunicorn -c python:shopkit.gunicorn_gevent app:app`"""

from gevent import monkey

monkey.patch_all()  # before anything else, since the app is loaded before the workers are forked

from shopkit.gunicorn_conf import *  # noqa: E402, F403 - the same settings, but for the worker

worker_class = "gevent"
workers = 1  # Socket.IO sessions live in one process; more capacity is more instances
worker_connections = 4000
keepalive = 30
