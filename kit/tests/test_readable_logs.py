import io
import json
import sys
import time

import pytest

from shopkit import readable_logs
from shopkit.readable_logs import in_order, readable

LINE = {"time": "2030-01-02T03:04:05.678901Z", "level": "info", "service": "cart-service", "logger": "shop.access"}


@pytest.fixture(autouse=True)
def time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_line_says_when_how_bad_who_and_what():
    line = json.dumps({**LINE, "message": "GET /cart 200", "request_id": "an-id", "path": "/cart", "user_id": 7})

    assert readable(line).split() == [
        *("2030-01-02", "03:04:05.678", "INFO", "cart-service", "GET", "/cart", "200", "user_id=7", "[an-id]")
    ]


def test_a_traceback_stands_below_its_line():
    line = json.dumps({**LINE, "level": "error", "message": "it failed", "exception": "Traceback\n  here"})

    assert readable(line).splitlines()[1:] == ["    Traceback", "      here"]


@pytest.mark.parametrize("line", ["Segmentation fault", "[1, 2]", "{", '{"no": "record"}', ""])
def test_what_is_no_record_stays_as_it_is(line):
    assert readable(line) == line


def test_lines_of_several_services_are_told_in_the_order_of_their_time():
    first, second, third = (json.dumps({**LINE, "time": f"2030-01-01T00:00:0{n}Z", "message": "m"}) for n in range(3))

    assert in_order([third, "its traceback", first, second]) == [first, second, third, "its traceback"]


def test_only_terminals_get_colours(monkeypatch, capsys):
    line = json.dumps({**LINE, "level": "error", "message": "it failed"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{line}\nlast".encode())))

    readable_logs.main([])

    written = capsys.readouterr().out
    assert "\033" not in written
    assert written.endswith("it failed\nlast\n")
    assert readable(line, colours=True).startswith("\033[31m")
