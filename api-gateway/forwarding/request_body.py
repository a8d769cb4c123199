"""The body of a request: short ones whole, so that they can be sent again, very long ones as they arrive."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any

from werkzeug import Request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import LimitedStream

from forwarding.spool import CHUNK, DiskSpace
from shopkit.errors import BadRequest, Unavailable

BUFFERED = 1024 * 1024  # as much as services take of JSON


def read_body(request: Request, space: DiskSpace) -> Any:
    """All of a short body, an iterator over a long one; None if there is none. requests takes either.

    :raise Unavailable: all long bodies together are as large as they may be.
    """
    if not request.environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in request.environ:
        return None
    length = request.content_length
    if length is not None and length <= CHUNK:
        return request.get_data()
    stream = request.stream  # refuses what says that it is longer than it may be
    chunks = _chunks(stream if length is None else LimitedStream(request.environ["wsgi.input"], length))
    body = _buffered(chunks, space)
    next(body)
    return body


def _buffered(chunks: Iterator[bytes], space: DiskSpace) -> Iterator[bytes]:
    """Wait for so much of a body before a service is asked: who sends it slowly must not hold one of its few threads.

    That happens when this is first advanced; the first item is empty, and not part of the body.

    :raise Unavailable: there is no space for it.
    """
    with SpooledTemporaryFile(max_size=CHUNK) as file, ExitStack() as taken:
        while file.tell() < BUFFERED and (chunk := next(chunks, b"")):
            if not space.take(len(chunk)):
                raise Unavailable("Too many large bodies are on their way at the moment; try again.")
            taken.callback(space.give_back, len(chunk))
            file.write(chunk)
        file.seek(0)
        yield b""
        yield from iter(partial(file.read, CHUNK), b"")
    yield from chunks


def _chunks(stream: Any) -> Iterator[bytes]:
    try:
        while chunk := stream.read(CHUNK):
            yield chunk
    except HTTPException:
        raise
    except Exception as error:  # each server has its own for what is not properly chunked
        raise BadRequest("The body cannot be read.", code="unreadable_body") from error
