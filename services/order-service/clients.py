"""The services that a checkout asks, in this service's words."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from requests.adapters import BaseAdapter

from settings import Settings
from shopkit.errors import Conflict, Invalid
from shopkit.http_client import ServiceClient
from shopkit.schemas import minor_units
from shopkit.service_account import own_token


@dataclass(frozen=True)
class Line:
    """So many of a product, at a price each in minor units."""

    product_id: int
    product_name: str
    product_image: str | None
    price: int
    quantity: int


@dataclass(frozen=True)
class Cart:
    """What the buyer wants; `seen_total` is what it cost when the buyer last decided about each line.

    :param no_longer_sold: those of the lines that nobody can buy any more.
    :param in_checkout_by: the newest order that is buying what was in the cart, if there is one.
    """

    id: int
    version: int
    lines: Sequence[Line]
    no_longer_sold: Sequence[Line]
    total: int
    seen_total: int
    currency: str
    in_checkout_by: int | None


@dataclass(frozen=True)
class PaymentMethod:
    id: int
    provider_token: str
    brand: str
    last_four: str


class CartClient:
    def __init__(self, for_buyer: ServiceClient, for_us: ServiceClient) -> None:
        self._for_buyer = for_buyer
        self._for_us = for_us

    def of_buyer(self) -> Cart:
        """The cart of whoever called us, at the prices that are valid now."""
        cart = self._for_buyer.get("/cart")
        in_checkout = cart["in_checkout"]
        return Cart(
            id=cart["id"],
            version=cart["version"],
            lines=[_line(item) for item in cart["items"]],
            no_longer_sold=[_line(item) for item in cart["items"] if "no_longer_sold" in _problems(item)],
            total=minor_units(cart["total"]),
            seen_total=sum(_seen_price(item) * item["quantity"] for item in cart["items"]),
            currency=cart["currency"],
            in_checkout_by=in_checkout and in_checkout["order_id"],
        )

    def claim(self, reference: uuid.UUID, order_id: int, cart: Cart) -> None:
        """Take out of the cart what was in this version of it, for an order.

        :raise Conflict: it has changed, or another order has all of it (`checkout_in_progress`); or ours has ended.
        """
        body = {"reference": str(reference), "order_id": order_id, "cart_id": cart.id, "version": cart.version}
        self._for_us.post("/internal/claims", body)

    def return_lines(self, reference: uuid.UUID) -> None:
        """Put back what was claimed; a claim that never arrived never will."""
        self._for_us.post(f"/internal/claims/{reference}/return")


class StockClient:
    """Reservations of stock, each under an id of ours; every call can be repeated."""

    def __init__(self, products: ServiceClient) -> None:
        self._products = products

    def reserve(self, reservation_id: uuid.UUID, lines: Iterable[Line]) -> dict[int, int]:
        """Hold all of it, or nothing, and say what one of each product costs.

        :raise Conflict: `out_of_stock`, with what is wanted and available of each product that lacks.
        """
        items = [{"product_id": line.product_id, "quantity": line.quantity} for line in lines]
        held = self._products.post("/internal/reservations", {"reservation_id": str(reservation_id), "items": items})
        return {item["product_id"]: minor_units(item["unit_price"]) for item in held["items"]}

    def commit(self, reservation_id: uuid.UUID) -> None:
        """What was held is sold."""
        self._products.post(f"/internal/reservations/{reservation_id}/commit")

    def give_back(self, reservation_id: uuid.UUID) -> None:
        """Whatever became of it, held or sold or never arrived: it can be bought again."""
        try:
            self._products.post(f"/internal/reservations/{reservation_id}/release")
        except Conflict:
            self.restock(reservation_id)

    def restock(self, reservation_id: uuid.UUID) -> None:
        """What was sold is back on the shelf."""
        self._products.post(f"/internal/reservations/{reservation_id}/restock")


class ProfileClient:
    def __init__(self, for_buyer: ServiceClient, for_us: ServiceClient) -> None:
        self._for_buyer = for_buyer
        self._for_us = for_us

    def address(self, address_id: int) -> dict[str, Any]:
        """:raise NotFound: there is none, or it is not the caller's."""
        return _postal(self._for_buyer.get(f"/addresses/{address_id}"))

    def default_address(self) -> dict[str, Any]:
        """:raise Invalid: the caller has none."""
        first = self._for_buyer.get("/addresses", per_page=1)  # the default comes first
        if not first:
            raise Invalid.field("shipping_address", "is missing, and there is no default address")
        return _postal(first[0])

    def payment_method(self, payment_method_id: int, user_id: int) -> PaymentMethod:
        """:raise NotFound: there is none, or it is not that user's."""
        method = self._for_us.get(f"/internal/payment-methods/{payment_method_id}", user_id=user_id)
        return PaymentMethod(method["id"], method["provider_token"], method["brand"], method["last_four"])


def _line(item: dict[str, Any]) -> Line:
    return Line(
        item["product_id"], item["product_name"], item["product_image"], minor_units(item["price"]), item["quantity"]
    )


def _problems(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {problem["code"]: problem for problem in item["problems"]}


def _seen_price(item: dict[str, Any]) -> int:
    """What one cost when the buyer put it in, which the cart says only if it costs something else now."""
    return minor_units(_problems(item).get("price_changed", {}).get("seen_price", item["price"]))


def _postal(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the address book without what only the address book is interested in."""
    return {name: value for name, value in entry.items() if name not in ("id", "label", "is_default")}


@dataclass(frozen=True)
class OtherServices:
    """:param needed: those without which nothing can be bought.
    :param subscribers: those that want to know of our events.
    """

    carts: CartClient
    stock: StockClient
    profiles: ProfileClient
    needed: Sequence[ServiceClient]
    subscribers: Sequence[ServiceClient]


def connect(settings: Settings, adapter: BaseAdapter | None = None) -> OtherServices:
    auth_service = ServiceClient("auth-service", settings.auth_service_url, adapter)
    token = own_token(auth_service, settings.service_client_id, settings.service_client_secret)
    carts = ServiceClient("cart-service", settings.cart_service_url, adapter)
    carts_for_us = ServiceClient(carts.name, settings.cart_service_url, adapter, token)
    profiles = ServiceClient("profile-service", settings.profile_service_url, adapter)
    products = ServiceClient("product-service", settings.product_service_url, adapter, token)
    return OtherServices(
        carts=CartClient(carts, carts_for_us),
        stock=StockClient(products),
        profiles=ProfileClient(profiles, ServiceClient(profiles.name, settings.profile_service_url, adapter, token)),
        needed=(carts, profiles, products),
        subscribers=(
            carts_for_us,
            products,
            ServiceClient("customer-support-service", settings.support_service_url, adapter, token),
        ),
    )
