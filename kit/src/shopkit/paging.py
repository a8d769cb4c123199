"""Collections page by page: a bare array, its size in `X-Total-Count`, its neighbours in `Link` (RFC 8288)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from flask import Response, current_app, request
from pydantic import BaseModel, Field

from shopkit.public_url import here
from shopkit.schemas import Query, list_of


class Page(Query):
    """`?page=1&per_page=50`"""

    page: int = Field(1, ge=1, le=1_000_000)
    per_page: int = Field(50, ge=1, le=100)


def page_of(
    rows: sa.Select[Any],
    page: Page,
    schema: type[BaseModel],
    within: Callable[[Sequence[Any]], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Response:
    """Answer with one page of what the query finds; a page past the end is empty.

    :param within: makes of the rows that were found the context in which they are written down.
    """
    session = current_app.extensions["sqlalchemy"].session
    total = session.scalar(sa.select(sa.func.count()).select_from(rows.order_by(None).subquery()))
    start = (page.page - 1) * page.per_page
    found = session.scalars(rows.limit(page.per_page).offset(start)).all() if start < total else []
    items = list_of(schema)
    with within(found):
        written = items.dump_json(items.validate_python(found, from_attributes=True))
    response = current_app.response_class(written, mimetype="application/json")
    response.headers["X-Total-Count"] = str(total)
    response.headers["Link"] = _links(page, total)
    return response


def _links(page: Page, total: int) -> str:
    last = max(1, -(-total // page.per_page))
    targets = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": last}
    return ", ".join(f'<{_url(page, n)}>; rel="{rel}"' for rel, n in targets.items() if 1 <= n <= last)


def _url(page: Page, number: int) -> str:
    query = {**request.args.to_dict(flat=False), "page": number, "per_page": page.per_page}
    return f"{here()}?{urlencode(query, doseq=True)}"
