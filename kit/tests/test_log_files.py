"""Log files of bounded size, written by processes of their own: their standard error is what it is about."""

import json
import os
import subprocess
import sys
from time import sleep

import pytest

WRITER = """
import logging, os, sys, time
from shopkit import logs
logs.set_up(sys.argv[1])
log = logging.getLogger("writer")
for line in sys.stdin:
    what, _, text = line.rstrip().partition(" ")
    if what == "print":
        print(text, file=sys.stderr, flush=True)
    elif what == "lines":
        for number in range(int(text)):
            log.info("%s", number)
    elif what == "clock":
        time.time_ns = lambda moment=int(text): moment * 10**9
        time.time = lambda moment=float(text): moment
    else:
        log.info(text)
    os.write(3, b"done")
"""


class Writer:
    """A process that logs what it is told, with its output in the file as the launcher leaves it."""

    def __init__(self, path, name, max_bytes):
        self.name = name
        self._done, done = os.pipe()
        with path.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                ["bash", "-c", f'exec "$0" "$@" 3>&{done}', sys.executable, "-c", WRITER, name],  # noqa: S607
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, "LOG_FILE": str(path), "LOG_MAX_BYTES": str(max_bytes)},
                pass_fds=[done],
            )
        os.close(done)

    def ask(self, what):
        self._process.stdin.write(f"{what}\n".encode())
        self._process.stdin.flush()

    def wait(self):
        assert os.read(self._done, 4) == b"done"

    def __call__(self, what):
        self.ask(what)
        self.wait()

    def close(self):
        self._process.communicate()
        os.close(self._done)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a %20 'shop'.log"


@pytest.fixture
def new_writer(path):
    writers = []

    def new_writer(max_bytes=10**6):
        writers.append(Writer(path, f"writer-{len(writers)}", max_bytes))
        return writers[-1]

    yield new_writer
    for writer in writers:
        writer.close()


def _messages(*files):
    return [json.loads(line)["message"] for file in files for line in file.read_text().splitlines()]


def _old(path, number):
    return path.with_name(f"{path.name}.{number}")


def test_a_full_file_is_set_aside_and_three_of_those_are_kept(path, new_writer):
    new_writer(max_bytes=2000)("lines 500")

    files = [_old(path, 3), _old(path, 2), _old(path, 1), path]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 2000 for file in files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in (_old(path, 1), path))
    kept = _messages(*files)
    assert kept == [str(number) for number in range(500 - len(kept), 500)]


def test_processes_that_fill_it_together_lose_no_line(path, new_writer):
    writers = [new_writer(max_bytes=60_000) for _ in range(3)]
    for writer in writers:
        writer.ask("lines 500")
    for writer in writers:
        writer.wait()

    files = [file for file in (_old(path, 3), _old(path, 2), _old(path, 1), path) if file.exists()]
    assert len(files) > 1  # each process counts the room by itself for a second, so they may be larger than asked for
    said = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    for writer in writers:
        assert sorted(int(line["message"]) for line in said if line["service"] == writer.name) == [*range(500)]


def test_what_is_printed_lands_there_too_and_counts(path, new_writer):
    writer = new_writer(max_bytes=1000)
    writer("say first")
    writer("print " + "x" * 900)
    sleep(1.1)  # it looks once a second
    writer("say second")
    writer("print printed later")

    assert "x" * 900 in _old(path, 1).read_text()
    assert path.read_text().endswith("printed later\n")


def test_a_file_that_somebody_has_moved_away_is_left_within_a_second(path, new_writer):
    writer = new_writer()
    writer("say before")
    path.rename(_old(path, "moved"))
    sleep(1.1)
    writer("say after")

    assert _messages(_old(path, "moved")) == ["before"]
    assert _messages(path) == ["after"]


def test_a_clock_that_was_set_back_stops_nothing(path, new_writer):
    writer = new_writer()
    writer("say before")
    path.rename(_old(path, "moved"))
    writer("clock 1000000")
    writer("say after")

    assert _messages(path) == ["after"]


@pytest.mark.parametrize("text", ["0", "-1", "10MB"])
def test_a_bound_that_makes_no_sense_is_said(path, text):
    refused = subprocess.run(  # noqa: S603
        [sys.executable, "-c", WRITER, "writer"],
        env={**os.environ, "LOG_FILE": str(path), "LOG_MAX_BYTES": text},
        capture_output=True,
        text=True,
    )

    assert refused.returncode == 1
    assert refused.stderr == "LOG_MAX_BYTES does not make sense: it has to be a whole number above zero.\n"
