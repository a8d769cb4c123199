"""Adding, changing and removing products, by administrators."""

from collections.abc import Callable

from flask_openapi3 import APIBlueprint

from catalogue.models import Product
from catalogue.preconditions import refuse_stale, require_etag, with_etag
from catalogue.products import locked_product, new_product
from catalogue.schemas import NewProduct, ProductChange, ProductHeaders, ProductOut, ProductPath
from event_publishers import publish_price
from models import db
from shopkit.auth import ADMIN, User, current_user, only
from shopkit.database import now
from shopkit.idempotency import idempotent
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show, flush_and_show

SetStock = Callable[[Product, int, str, User], None]
"""Let so many of a new or locked product be there to buy, for this reason, as this user wants it."""


def add_editing(api: APIBlueprint, set_stock: SetStock) -> None:
    @api.post("/products", responses={201: ProductOut})
    @only(ADMIN)
    @idempotent
    def add_product(body: NewProduct) -> ViewResult:
        """Add a product."""
        product = new_product(**body.model_dump(exclude={"stock"}))
        set_stock(product, body.stock, "opening stock", current_user())
        return flush_and_show(product, ProductOut), 201

    @api.put("/products/<int:product_id>", responses={200: ProductOut})
    @api.patch("/products/<int:product_id>", responses={200: ProductOut})
    @only(ADMIN)
    def change_product(path: ProductPath, header: ProductHeaders, body: ProductChange) -> ViewResult:
        """Change a product; what is not sent stays, and `stock` is what can be bought.

        With `If-Match` only the copy that it names is changed, otherwise it is a 412. A whole form needs it to set another
        `stock`, as that it has may be long sold; `stock` among a few fields is meant.
        """  # noqa: E501
        product = locked_product(path.product_id)
        before = ProductOut.model_validate(product)
        refuse_stale(before, header.if_match)
        body.refuse_changes_of(before)
        product.change(**body.model_dump(exclude_unset=True, exclude={"stock"}))
        publish_price(product.id, product.price, before.price)
        if "stock" in body.model_fields_set and body.stock != before.stock:
            if body.is_whole:
                require_etag(header.if_match)
            set_stock(product, body.stock, "set by admin", current_user())
        return with_etag(commit_and_show(product, ProductOut))

    @api.delete("/products/<int:product_id>", responses={204: None})
    @only(ADMIN)
    def remove_product(path: ProductPath) -> ViewResult:
        """Stop selling a product."""
        locked_product(path.product_id).archived_at = now()
        db.session.commit()
        return "", 204
