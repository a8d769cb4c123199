"""Which state of a product a form was filled in from, so that no stale form is saved (RFC 9110, section 13)."""

from hashlib import sha256

import orjson
from flask import Response
from werkzeug.http import parse_etags

from catalogue.schemas import ProductOut
from shopkit.errors import PreconditionFailed, PreconditionRequired


def etag_of(product: ProductOut) -> str:
    """Made of all that is shown, whatever host it is shown under."""
    return sha256(orjson.dumps(product.model_dump())).hexdigest()[:32]


def with_etag(product: ProductOut) -> Response:
    response = Response(product.model_dump_json(), mimetype="application/json")
    response.set_etag(etag_of(product))
    return response


def refuse_stale(product: ProductOut, if_match: str | None) -> None:
    """:raise PreconditionFailed: `If-Match` names other states than this one."""
    etags = parse_etags(if_match)
    if etags and etag_of(product) not in etags:
        raise PreconditionFailed("The product has changed since you looked at it; look at it again.")


def require_etag(if_match: str | None) -> None:
    """:raise PreconditionRequired: `If-Match` names no state; `*` names none."""
    etags = parse_etags(if_match)
    if not etags or etags.star_tag:
        raise PreconditionRequired(
            "To set the stock, say by If-Match which copy you looked at, as it may have been sold since; "
            "or change it by a difference."
        )
