"""Which copy of a product somebody has changed, so that no stale form wins (RFC 9110, section 13)."""

from hashlib import sha256

import orjson
from werkzeug.http import parse_etags

from schemas import ProductOut
from shopkit.errors import PreconditionFailed, PreconditionRequired


def etag_of(product: ProductOut) -> str:
    """Of all that is shown, whatever host it is shown under."""
    return sha256(orjson.dumps(product.model_dump())).hexdigest()[:32]


def refuse_stale(product: ProductOut, if_match: str | None) -> None:
    """:raise PreconditionFailed: it is another one by now."""
    copies = parse_etags(if_match)
    if copies and etag_of(product) not in copies:
        raise PreconditionFailed("The product has changed since you looked at it; look at it again.")


def demand_a_copy(if_match: str | None) -> None:
    """:raise PreconditionRequired: none is named; `*` names none."""
    copies = parse_etags(if_match)
    if not copies or copies.star_tag:
        raise PreconditionRequired(
            "To set the stock, say by If-Match which copy you looked at, as it may have been sold since; "
            "or change it by a difference."
        )
