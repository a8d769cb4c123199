"""Calls that are made all at once, and not waited for for long."""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


def call_all(functions: Mapping[Key, Callable[[], Result]], seconds: float) -> dict[Key, Result]:
    """What those return that return in time; who fails, or takes longer, is left out."""
    pool = ThreadPoolExecutor(len(functions))
    futures = {key: pool.submit(function) for key, function in functions.items()}
    pool.shutdown(wait=False)
    wait(futures.values(), timeout=seconds)
    return {key: each.result() for key, each in futures.items() if each.done() and not each.exception()}
