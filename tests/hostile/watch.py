"""What the processes of a shop are and use, as the system sees them (Linux)."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

MEGABYTE = 1024 * 1024


class Process(NamedTuple):
    """By its id alone one could not tell a process from a later one; `began` is in ticks since the system's start."""

    pid: int
    began: int
    title: str


def processes_of(folder: Path) -> set[Process]:
    """The masters and workers that gunicorn runs for a checkout."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            title = (entry / "cmdline").read_text().rstrip("\0")
            if title.startswith("gunicorn: ") and (entry / "cwd").readlink().is_relative_to(folder):
                began = (entry / "stat").read_text().rpartition(")")[2].split()[19]
                found.add(Process(int(entry.name), int(began), title))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


def memory_of(processes: set[Process]) -> int:
    """Bytes; what several of them share is counted once (PSS). Of one that has ended nothing is left."""
    total = 0
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            lines = (Path("/proc") / str(process.pid) / "smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def descriptors_of(processes: set[Process]) -> int:
    """How many files and sockets they have open."""
    return sum(len(list((Path("/proc") / str(process.pid) / "fd").iterdir())) for process in processes)


def tables_of(file: Path) -> dict[str, int]:
    """How many rows each table of an SQLite database has."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")
        return {
            name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for (name,) in names.fetchall()
        }


def settles(measure: Callable[[], int], most: int, seconds: float) -> int:
    """Wait until a measure is small enough, or time is over; the last value."""
    deadline = time.monotonic() + seconds
    while (value := measure()) > most and time.monotonic() < deadline:
        time.sleep(0.25)
    return value
