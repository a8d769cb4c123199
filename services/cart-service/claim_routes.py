from flask_openapi3 import APIBlueprint, Tag

import claims
from models import db
from schemas import ClaimPath, NewClaim
from shopkit.service import ViewResult

claiming = APIBlueprint("claims", __name__, abp_tags=[Tag(name="claims")])


@claiming.post("/internal/claims", responses={200: None, 201: None})
def claim(body: NewClaim) -> ViewResult:
    """Take what an order buys out of a cart; the same reference again changes nothing (200)."""
    is_new = claims.claim(body.reference, body.order_id, body.cart_id, body.version)
    db.session.commit()
    return "", 201 if is_new else 200


@claiming.post("/internal/claims/<uuid:reference>/return", responses={204: None})
def return_lines(path: ClaimPath) -> ViewResult:
    """Put what an order claimed back in its cart; a reference that was never claimed, never can be from now on."""
    claims.return_lines(path.reference)
    db.session.commit()
    return "", 204
