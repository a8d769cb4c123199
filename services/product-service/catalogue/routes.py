"""The routes of the products: those for everybody here, those for administrators in `editing.py`."""

from contextlib import nullcontext

import sqlalchemy as sa
from flask import request
from flask_openapi3 import APIBlueprint, Tag

from catalogue.editing import SetStock, add_editing
from catalogue.models import Product
from catalogue.pictures import add_pictures
from catalogue.preconditions import with_etag
from catalogue.products import on_sale
from catalogue.schemas import (
    Categories,
    CategoryOut,
    CategoryPath,
    ProductOut,
    ProductPath,
    ProductQuery,
    Products,
    SearchQuery,
)
from catalogue.search import is_slow, matching, with_words
from models import db
from shopkit.auth import public
from shopkit.database import fetch_or_404
from shopkit.errors import NotFound
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.slots import Slots


def product_routes(searching: Slots, set_stock: SetStock) -> APIBlueprint:
    """All routes of the catalogue that people use.

    :param searching: bounds how many searches that no index answers run at once.
    """
    api = APIBlueprint("products", __name__, abp_tags=[Tag(name="products")])
    add_listing(api, searching)
    add_editing(api, set_stock)
    add_pictures(api)
    return api


def add_listing(api: APIBlueprint, searching: Slots) -> None:
    @api.get("/products", responses={200: Products})
    @public
    def list_products(query: ProductQuery) -> ViewResult:
        """List products, in the order of their ids unless `sort` says otherwise.

        `in_stock=false` lists what is sold out; products without a review come last by rating, and meet no `min_rating`.
        """  # noqa: E501
        with searching if is_slow(query) else nullcontext():
            return page_of(matching(query), query, ProductOut)

    @api.get("/products/<int:product_id>", responses={200: ProductOut})
    @public
    def show_product(path: ProductPath) -> ViewResult:
        """Show a product; its `ETag` names this copy of it."""
        product = fetch_or_404(Product, path.product_id, archived_at=None)
        response = with_etag(ProductOut.model_validate(product))
        response.make_conditional(request)
        return response

    @api.get("/search", responses={200: Products})
    @public
    def search(query: SearchQuery) -> ViewResult:
        """Find products whose name, description or category contains every word."""
        with searching:
            return page_of(on_sale().where(*with_words(query.q)).order_by(Product.id), query, ProductOut)

    @api.get("/categories", responses={200: Categories})
    @public
    def list_categories() -> ViewResult:
        """List the categories and how many products each has."""
        counted = (
            sa.select(Product.category.label("name"), sa.func.count().label("product_count"))
            .where(Product.archived_at.is_(None))
            .group_by(Product.category)
            .order_by(Product.category)
        )
        return Categories([CategoryOut.model_validate(row) for row in db.session.execute(counted)])

    @api.get("/categories/<category>", responses={200: Products})
    @public
    def list_category(path: CategoryPath, query: Page) -> ViewResult:
        """List the products of a category."""
        of_category = on_sale().where(Product.category == path.category).order_by(Product.id)
        if db.session.scalar(of_category.limit(1)) is None:
            raise NotFound("There is no such category.")
        return page_of(of_category, query, ProductOut)
