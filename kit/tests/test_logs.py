import json
import logging
import sys

import pytest

from shopkit import logs


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, logger="shop.access")
    formatter = logs.JsonFormatter("note-service")
    return lambda: [json.loads(formatter.format(r)) for r in caplog.records if r.name == "shop.access"]


def test_a_request_is_one_line(client, alice, lines):
    client.get("/notes/1?token=secret", headers={**alice, "X-Request-ID": "request-0001"})

    (line,) = lines()
    assert (line["method"], line["path"], line["status"], line["user_id"]) == ("GET", "/notes/1", 404, 1)
    assert (line["service"], line["level"], line["request_id"]) == ("note-service", "info", "request-0001")
    assert line["milliseconds"] >= 0
    assert line["time"].endswith("Z")


def test_no_secret_of_a_request_is_logged(client, lines):
    client.post("/notes?secret=1", json={"text": "secret"}, headers={"Authorization": "Bearer secret"})

    assert "secret" not in json.dumps(lines())


def test_what_is_asked_every_few_seconds_is_quiet(client, lines):
    client.get("/health/live")

    assert lines()[0]["level"] == "debug"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("abc-12345", True), ("short", False), ("x" * 65, False), ("a b c d e", False)],
)
def test_a_sane_request_id_is_kept_and_any_other_replaced(client, sent, kept):
    answered = client.get("/notes", headers={"X-Request-ID": sent}).headers["X-Request-ID"]

    assert (answered == sent) is kept
    assert len(answered) >= 8


def test_the_request_id_travels_on(client, network, alice):
    network.on("GET", "/thing", {"ok": True})
    client.get("/ask", headers={**alice, "X-Request-ID": "request-0001"})

    assert {request.headers["X-Request-ID"] for request in network.requests} == {"request-0001"}


def test_an_exception_stands_in_its_line():
    try:
        raise ValueError("what happened")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())

    line = json.loads(logs.JsonFormatter("note-service").format(record))

    assert (line["message"], "what happened" in line["exception"]) == ("it failed", True)


def _raised(how):
    try:
        how()
    except Exception:
        return logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())


def test_of_each_cause_one_traceback_a_second_is_written_and_the_others_are_counted(monkeypatch):
    moment = 0.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: moment)
    formatter = logs.JsonFormatter("note-service")

    def fail(what):
        return int(what)

    def written(how):
        return json.loads(formatter.format(_raised(how)))

    lines = [written(lambda: fail("one")) for _ in range(3)]
    other = written(lambda: {}["two"])
    moment = 1.0
    later = written(lambda: fail("three"))

    assert [line["message"] for line in lines] == ["it failed"] * 3
    assert ["Traceback" in line["exception"] for line in [*lines, other, later]] == [True, False, False, True, True]
    assert later["tracebacks_left_out"] == 2


def test_a_traceback_is_cut_in_its_middle():
    def fall(levels):
        return fall_again(levels - 1) if levels else 1 / 0

    def fall_again(levels):
        return fall(levels - 1) if levels else 1 / 0

    line = json.loads(logs.JsonFormatter("note-service").format(_raised(lambda: fall(400))))

    assert len(line["exception"]) < 8100
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_of_many_causes_not_all_are_remembered():
    formatter = logs.JsonFormatter("note-service")
    for number in range(3 * logs.MOST_CAUSES):
        formatter.format(_raised(eval(f"lambda: ({chr(10) * number}1 / 0)")))  # noqa: S307

    assert len(formatter._tracebacks._last) <= logs.MOST_CAUSES


def test_of_a_long_path_only_the_beginning_is_logged(client, lines):
    client.get(f"/{'x' * 5000}")

    assert len(json.dumps(lines())) < 1000


def test_all_loggers_write_json_to_standard_error(capsys):
    before = logging.root.handlers[:], logging.root.level
    try:
        logs.set_up("note-service")
        logging.getLogger("gunicorn.error").info("starting")
        logging.getLogger("gunicorn.access").info("not this one")
        written = capsys.readouterr().err
    finally:
        logging.root.handlers[:], logging.root.level = before

    assert [json.loads(line)["message"] for line in written.splitlines()] == ["starting"]
