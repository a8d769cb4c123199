"""Answers that stay the same for a while, kept in memory: compressed once, and not sent to whoever has them already."""

import gzip
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from threading import Lock

from flask import Request, Response

from shopkit.errors import NotFound

WORTH_COMPRESSING = 1024  # bytes

_REFUSED = re.compile(r"q=0(\.0{0,3})?")


class StaticAnswer:
    """One body, as it is and compressed.

    :param cache_control: how long browsers may keep it, as RFC 9111 writes it.
    """

    def __init__(self, body: bytes, mimetype: str, cache_control: str) -> None:
        self.body = body
        self._mimetype = mimetype
        self._cache_control = cache_control
        self._digest = sha256(body).hexdigest()[:32]
        compressed = gzip.compress(body, mtime=0) if len(body) >= WORTH_COMPRESSING else body
        self._compressed = compressed if len(compressed) < len(body) else None

    def respond(self, request: Request) -> Response:
        """The answer in the best coding that the client takes, or a 304 if it has that already."""
        body, coding = self.body, ""
        if self._compressed is not None and accepts_gzip(request.environ.get("HTTP_ACCEPT_ENCODING", "")):
            body, coding = self._compressed, "gzip"
        etag = f'"{self._digest}-{coding}"' if coding else f'"{self._digest}"'  # strong: each has its own bytes
        if is_known(etag, request.environ.get("HTTP_IF_NONE_MATCH", "")):
            response = Response(status=304)
            del response.headers["Content-Type"]
        else:
            response = Response(body, mimetype=self._mimetype)
            if coding:
                response.headers["Content-Encoding"] = coding
        response.headers["ETag"] = etag
        response.headers["Cache-Control"] = self._cache_control
        response.vary.add("Accept-Encoding")
        return response


class StaticFiles:
    """These files as answers, each read when it is first asked for.

    :param paths: by name; there are no others, and so there is a bound.
    """

    def __init__(self, paths: Mapping[str, Path], mimetypes: Mapping[str, str], cache_control: str) -> None:
        self._paths = paths
        self._mimetypes = mimetypes
        self._cache_control = cache_control
        self._answers: dict[str, StaticAnswer] = {}
        self._lock = Lock()  # of several that come at once one compresses

    def get(self, name: str) -> StaticAnswer:
        """:raise NotFound: there is no such file."""
        if name not in self._paths:
            raise NotFound("There is nothing here.")
        path = self._paths[name]
        with self._lock:
            if name not in self._answers:
                mimetype = self._mimetypes[path.suffix]
                self._answers[name] = StaticAnswer(path.read_bytes(), mimetype, self._cache_control)
            return self._answers[name]


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` (RFC 9110, section 12.5.3) names gzip, or everything, and does not refuse it."""
    accepted: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        accepted[coding.strip()] = _REFUSED.fullmatch(weight.strip()) is None
    return accepted.get("gzip", accepted.get("*", False))


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether an `If-None-Match` (RFC 9110, section 13.1.2) names this tag, or any."""
    named = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return etag in named or "*" in named
