import sqlalchemy as sa
from flask import Response, current_app, request, send_from_directory
from flask_openapi3 import APIBlueprint, Tag

from copies import demand_a_copy, etag_of, refuse_stale
from event_publishers import publish_price
from models import Product, db, locked_product
from schemas import (
    Categories,
    CategoryOut,
    CategoryPath,
    NewProduct,
    PicturePath,
    ProductChange,
    ProductHeaders,
    ProductOut,
    ProductPath,
    ProductQuery,
    Products,
    SearchQuery,
)
from search import matching, on_sale, searching, turn_for, with_words
from shopkit.auth import ADMIN, current_user, only, public
from shopkit.database import fetch_or_404, now
from shopkit.errors import NotFound
from shopkit.idempotency import idempotent
from shopkit.paging import Page, page_of
from shopkit.service import Answer
from stock import new_product, set_stock

PICTURES = "images"
DAY = 24 * 60 * 60
# A picture that is opened by itself must not be able to do anything.
PICTURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

products = APIBlueprint("products", __name__, abp_tags=[Tag(name="products")])


@products.get("/products", responses={200: Products})
@public
def list_products(query: ProductQuery) -> Answer:
    """List products, in the order of their ids unless `sort` says otherwise.

    `in_stock=false` lists what is sold out; products without a review come last by rating, and meet no `min_rating`.
    """
    with turn_for(query):
        return page_of(matching(query), query, ProductOut)


@products.get("/products/<int:product_id>", responses={200: ProductOut})
@public
def show_product(path: ProductPath) -> Answer:
    """Show a product; its `ETag` names this copy of it."""
    response = _shown(fetch_or_404(Product, path.product_id, archived_at=None))
    response.make_conditional(request)
    return response


@products.get("/search", responses={200: Products})
@public
def search(query: SearchQuery) -> Answer:
    """Find products whose name, description or category contains every word."""
    with searching:
        return page_of(on_sale().where(*with_words(query.q)).order_by(Product.id), query, ProductOut)


@products.get("/categories", responses={200: Categories})
@public
def list_categories() -> Answer:
    """List the categories and how many products each has."""
    counted = (
        sa.select(Product.category.label("name"), sa.func.count().label("product_count"))
        .where(Product.archived_at.is_(None))
        .group_by(Product.category)
        .order_by(Product.category)
    )
    return Categories([CategoryOut.model_validate(row) for row in db.session.execute(counted)])


@products.get("/categories/<category>", responses={200: Products})
@public
def list_category(path: CategoryPath, query: Page) -> Answer:
    """List the products of a category."""
    of_category = on_sale().where(Product.category == path.category).order_by(Product.id)
    if db.session.scalar(of_category.limit(1)) is None:
        raise NotFound("There is no such category.")
    return page_of(of_category, query, ProductOut)


@products.post("/products", responses={201: ProductOut})
@only(ADMIN)
@idempotent
def add_product(body: NewProduct) -> Answer:
    """Add a product."""
    product = new_product(current_user(), **body.model_dump())
    return ProductOut.model_validate(product), 201


@products.put("/products/<int:product_id>", responses={200: ProductOut})
@products.patch("/products/<int:product_id>", responses={200: ProductOut})
@only(ADMIN)
def change_product(path: ProductPath, header: ProductHeaders, body: ProductChange) -> Answer:
    """Change a product; what is not sent stays, and `stock` is what can be bought.

    With `If-Match` only the copy that it names is changed, otherwise it is a 412. A whole form needs it to set another
    `stock`, as that it has may be long sold; `stock` among a few fields is meant.
    """
    product = locked_product(path.product_id)
    before = ProductOut.model_validate(product)
    refuse_stale(before, header.if_match)
    body.refuse_changes_of(before)
    product.change(**body.model_dump(exclude_unset=True, exclude={"stock"}))
    publish_price(product, before.price)
    if "stock" in body.model_fields_set and body.stock != before.stock:
        if body.is_whole:
            demand_a_copy(header.if_match)
        set_stock(product, body.stock, current_user())
    db.session.commit()
    return _shown(product)


@products.delete("/products/<int:product_id>", responses={204: None})
@only(ADMIN)
def remove_product(path: ProductPath) -> Answer:
    """Stop selling a product."""
    locked_product(path.product_id).archived_at = now()
    db.session.commit()
    return "", 204


@products.get("/images/<file>", responses={200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}}})
@public
def show_picture(path: PicturePath) -> Answer:
    """Show a product's picture."""
    picture = send_from_directory(PICTURES, path.file, mimetype="image/svg+xml", max_age=DAY)
    picture.headers.update(PICTURE_HEADERS)
    return picture


def _shown(product: Product) -> Response:
    shown = ProductOut.model_validate(product)
    response = current_app.make_response(shown)  # type: ignore[arg-type]
    response.set_etag(etag_of(shown))
    return response
