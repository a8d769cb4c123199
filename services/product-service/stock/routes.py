"""The routes of the stock: for administrators, and for the services that reserve it."""

from collections import Counter
from datetime import timedelta

import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from catalogue.models import Product
from catalogue.products import locked_product
from catalogue.schemas import ProductOut, ProductPath
from shopkit.auth import ADMIN, current_user, only
from shopkit.database import fetch_or_404
from shopkit.idempotency import idempotent
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.slots import Slots
from shopkit.transactions import commit_and_show, flush_and_show
from stock.ledger import change_stock
from stock.models import StockMovement
from stock.reconciliation import reservations_by_status, wrong_products
from stock.reservations import COMMITTED, RESTOCKED, fetch, move, release, reserve
from stock.schemas import (
    MovementOut,
    Movements,
    NewAdjustment,
    NewReservation,
    ReservationOut,
    ReservationPath,
    StockReconciliationOut,
)

RESERVATIONS = "/internal/reservations"


def stock_routes(counting: Slots) -> APIBlueprint:
    """All routes of the stock.

    :param counting: bounds how many count the stock again at once.
    """
    api = APIBlueprint("stock", __name__, abp_tags=[Tag(name="stock")])
    add_administration(api, counting)
    add_reservations(api)
    return api


def add_administration(api: APIBlueprint, counting: Slots) -> None:
    @api.post("/products/<int:product_id>/stock", responses={200: ProductOut})
    @only(ADMIN)
    @idempotent
    def adjust_stock(path: ProductPath, body: NewAdjustment) -> ViewResult:
        """Put some of a product on the shelf, or take some away that nobody has reserved, and say why."""
        product = locked_product(path.product_id)
        change_stock(product, body.change, body.reason, current_user())
        return flush_and_show(product, ProductOut)

    @api.get("/products/<int:product_id>/stock-movements", responses={200: Movements})
    @only(ADMIN)
    def list_movements(path: ProductPath, query: Page) -> ViewResult:
        """List what changed the stock of a product, newest first; the changes add up to its stock."""
        product = fetch_or_404(Product, path.product_id)
        newest_first = sa.select(StockMovement).filter_by(product_id=product.id).order_by(StockMovement.id.desc())
        return page_of(newest_first, query, MovementOut)

    @api.get("/products/reconciliation", responses={200: StockReconciliationOut})
    @only(ADMIN)
    def reconcile_stock() -> ViewResult:
        """Count the stock again, from the movements and from what is held; nothing is wrong if no product is named."""
        with counting:
            return StockReconciliationOut(products_wrong=wrong_products(), reservations=reservations_by_status())


def add_reservations(api: APIBlueprint) -> None:
    @api.post(RESERVATIONS, responses={200: ReservationOut, 201: ReservationOut})
    def reserve_stock(body: NewReservation) -> ViewResult:
        """Reserve all of it or nothing; the same id again answers the same (200) while it is held or once it is sold."""  # noqa: E501
        wanted: Counter[int] = Counter()
        for item in body.items:
            wanted[item.product_id] += item.quantity
        lifetime = timedelta(seconds=body.expires_in)
        reservation, is_new = reserve(str(body.reservation_id), wanted, lifetime, current_user())
        return commit_and_show(reservation, ReservationOut), 201 if is_new else 200

    @api.get(f"{RESERVATIONS}/<uuid:reservation_id>", responses={200: ReservationOut})
    def show_reservation(path: ReservationPath) -> ViewResult:
        """Show a reservation."""
        return ReservationOut.model_validate(fetch(str(path.reservation_id)))

    @api.post(f"{RESERVATIONS}/<uuid:reservation_id>/commit", responses={200: ReservationOut})
    def commit_reservation(path: ReservationPath) -> ViewResult:
        """Sell what was held: it leaves the stock."""
        return commit_and_show(move(str(path.reservation_id), COMMITTED, current_user()), ReservationOut)

    @api.post(f"{RESERVATIONS}/<uuid:reservation_id>/release", responses={200: ReservationOut})
    def release_reservation(path: ReservationPath) -> ViewResult:
        """Give back what was held; an id that was never reserved, never can be from now on."""
        return commit_and_show(release(str(path.reservation_id), current_user()), ReservationOut)

    @api.post(f"{RESERVATIONS}/<uuid:reservation_id>/restock", responses={200: ReservationOut})
    def restock_reservation(path: ReservationPath) -> ViewResult:
        """Take back what was sold."""
        return commit_and_show(move(str(path.reservation_id), RESTOCKED, current_user()), ReservationOut)
