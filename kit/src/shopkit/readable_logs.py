"""Logs for people: JSON lines come in on standard input, and go out as time, level, service and message.

tail -F logs/cart-service.log | python -m shopkit.readable_logs
docker-compose logs --no-log-prefix | python -m shopkit.readable_logs --sort
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import orjson

_RED, _YELLOW, _GREY, _PLAIN = "\033[31m", "\033[33m", "\033[2m", "\033[0m"
_COLOURS = {"error": _RED, "critical": _RED, "warning": _YELLOW, "debug": _GREY}
# What the message says already, or what stands in a place of its own.
_TOLD = frozenset(
    {"time", "level", "service", "logger", "message", "request_id", "method", "path", "status", "exception"}
)


def readable(line: str, *, colours: bool = False) -> str:
    """One line of a log for people; what is no JSON object (the output of a crash, for instance) stays as it is."""
    record = _parse(line)
    if record is None:
        return line
    level = str(record.get("level", ""))
    words = [
        _local_time(record.get("time")),
        f"{level.upper():7}",
        f"{record.get('service', ''):24}",
        str(record.get("message", "")),
        *(f"{name}={value}" for name, value in record.items() if name not in _TOLD and value is not None),
        f"[{record['request_id']}]" if record.get("request_id") else "",
    ]
    text = " ".join(word for word in words if word)
    if colour := _COLOURS.get(level) if colours else None:
        text = f"{colour}{text}{_PLAIN}"
    if exception := record.get("exception"):
        text += "".join(f"\n    {each}" for each in str(exception).splitlines())
    return text


def in_order(lines: Iterable[str]) -> list[str]:
    """Lines of several services by their time; what has none stays behind the line that it followed."""
    keyed, latest = [], ""
    for line in lines:
        record = _parse(line)
        latest = str(record.get("time", latest)) if record else latest
        keyed.append((latest, line))
    return [line for _, line in sorted(keyed, key=lambda each: each[0])]


def main(arguments: list[str]) -> None:
    colours = sys.stdout.isatty()
    lines: Iterable[str] = _lines()
    for line in in_order(lines) if "--sort" in arguments else lines:
        sys.stdout.write(readable(line, colours=colours) + "\n")
        sys.stdout.flush()


def _lines() -> Iterator[str]:
    return (line.decode(errors="replace").rstrip("\n") for line in sys.stdin.buffer)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "message" in record else None


def _local_time(text: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    except ValueError:
        return str(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (KeyboardInterrupt, BrokenPipeError):  # whoever looked has seen enough
        sys.stderr.close()
