"""The data of the demonstration: the `seed()` in a service's `seed.py`, which fills an empty database once."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

import sqlalchemy as sa
from flask import current_app

from shopkit.transactions import reading

P = ParamSpec("P")


def fills(model: type[Any]) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Mark a `seed()`: it runs if there is nothing of this kind yet, and what it adds is committed for it."""

    def decorate(seed: Callable[P, None]) -> Callable[P, None]:
        @wraps(seed)
        def fill(*args: P.args, **kwargs: P.kwargs) -> None:
            with reading():  # what is added may be slow to make
                is_filled = _session().scalar(sa.select(sa.literal(1)).select_from(model).limit(1))
            if not is_filled:
                seed(*args, **kwargs)
                _session().commit()

        return fill

    return decorate


def add_in_order(rows: Iterable[object]) -> None:
    """Add them one by one, so that their ids follow their order."""
    for row in rows:
        _session().add(row)
        _session().flush()


def main() -> None:
    """Migrate and fill the database of the service in this folder, as `python seed.py` does."""
    from shopkit import prepare  # here, because it makes the app, and whoever prepares one comes by here

    prepare.main(seed=True)


def _session() -> Any:
    return current_app.extensions["sqlalchemy"].session
