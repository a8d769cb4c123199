"""For tests: two networks to put in the place of the real one, both as `requests` transport adapters.

`Network` answers what a test told it to. `Wiring` takes a request straight into another Flask app in this process.
Both refuse a call that is made while the caller's database transaction is open: nothing may be locked that long.
What they refuse is remembered, because the code under test may swallow the error: `take_refusals` is for the fixture
that fails the test at its end.
"""

import io
import math
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson
import requests
from flask import Flask, current_app, has_app_context
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.models import PreparedRequest
from urllib3 import HTTPHeaderDict, HTTPResponse
from werkzeug.test import EnvironBuilder, run_wsgi_app

StatusAndBody = tuple[int, object]
MakeResponse = Callable[[PreparedRequest], StatusAndBody]

_refusals: list[str] = []  # of all networks in this process, so that none can be forgotten


class Network(BaseAdapter):
    """Stands for all other services: answers what the test said, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[tuple[str, str], StatusAndBody | Exception | MakeResponse] = {}
        self.calls: list[tuple[str, str]] = []
        self.requests: list[PreparedRequest] = []

    def on(
        self,
        method: str,
        path: str,
        body: object = None,
        status: int = 200,
        *,
        answer: MakeResponse | None = None,
    ) -> None:
        """Answer `method path` with this, or with what `answer` makes of the request; `*` in a path is one segment."""
        self._answers[method, path] = answer or (status, body)

    def answer_of(self, method: str, path: str) -> Any:
        """The body that is answered there, to change it."""
        answer = self._answers[method, path]
        return answer[1] if isinstance(answer, tuple) else None

    def refuse(self, method: str, path: str, status: int, detail: str, code: str = "conflict", **extra: Any) -> None:
        """Answer with a problem, as our services do."""
        self.on(method, path, {"detail": detail, "code": code, **extra}, status)

    def down(self, method: str, path: str, error: type[Exception] = requests.ConnectionError) -> None:
        self._answers[method, path] = error(f"{path} is down")

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies that were sent there, parsed."""
        return [
            orjson.loads(each.body or b"null")
            for each in self.requests
            if (each.method, urlsplit(str(each.url)).path) == (method, path)
        ]

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        refuse_open_transaction()
        key = (str(request.method), urlsplit(str(request.url)).path)
        self.calls.append(key)
        self.requests.append(request)
        answer = self._answers.get(key) or self._answers.get((key[0], self._pattern(*key)))
        if answer is None:
            _refuse(f"the test did not say what {' '.join(key)} answers")
        if isinstance(answer, Exception):
            raise answer
        status, body = answer(request) if callable(answer) else answer
        content = b"" if body is None else orjson.dumps(body)
        return _response(request, status, {"Content-Type": "application/json"}, content)

    def _pattern(self, method: str, path: str) -> str:
        return next((known for verb, known in self._answers if verb == method and fnmatchcase(path, known)), path)

    def close(self) -> None:
        pass


class Wiring(BaseAdapter):
    """The apps of the whole shop in one process: a request goes to the app that stands behind its port."""

    def __init__(self) -> None:
        super().__init__()
        self.apps: dict[int, Flask] = {}
        self.calls: list[tuple[str, str]] = []

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        refuse_open_transaction()
        url = urlsplit(str(request.url))
        self.calls.append((str(request.method), url.path))
        app = self.apps.get(url.port or 80)
        if app is None:
            raise requests.ConnectionError(f"nobody listens on {url.netloc}", request=request)
        body = request.body if request.body is None or isinstance(request.body, str | bytes) else b"".join(request.body)
        environ = EnvironBuilder(
            path=url.path,
            query_string=url.query,
            method=str(request.method),
            headers=list(request.headers.items()),
            data=body,
        ).get_environ()
        chunks, status, headers = run_wsgi_app(app, environ, buffered=True)
        return _response(request, int(status.split()[0]), HTTPHeaderDict(headers.items()), b"".join(chunks))

    def close(self) -> None:
        pass


def refuse_open_transaction() -> None:
    """No remote call inside a database transaction: the other side may be slow, and we would hold our locks so long."""
    if has_app_context() and (db := current_app.extensions.get("sqlalchemy")) and db.session().in_transaction():
        _refuse(f"{current_app.name} calls another service while its transaction is open")


def take_refusals() -> list[str]:
    """What has been refused since this was last called."""
    taken = _refusals[:]
    _refusals.clear()
    return taken


def _refuse(reason: str) -> NoReturn:
    _refusals.append(reason)
    raise AssertionError(reason)


def _response(request: PreparedRequest, status: int, headers: Mapping[str, str], content: bytes) -> requests.Response:
    raw = HTTPResponse(io.BytesIO(content), headers, status, preload_content=False, decode_content=False)
    response: requests.Response = HTTPAdapter().build_response(request, raw)
    return response


def cpu_seconds(ask: Callable[[], object], enough: float) -> float:
    """What a call costs this process: the least of five tries, as memory is tidied up now and then.

    :param enough: with so little no further try is needed.
    """
    least = math.inf
    for _ in range(5):
        begin = time.process_time()
        ask()
        least = min(least, time.process_time() - begin)
        if least < enough:
            break
    return least
