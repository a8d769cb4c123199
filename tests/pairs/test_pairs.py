"""Every two requests that write to one thing may meet: whatever each is answered, nothing contradicts anything.

`PAIRS` is the list. Each pair is sent at once, several times, and again with the one running whole inside the other,
before each call that this one makes to another service: so a checkout is interrupted at every step.
"""

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count, pairwise

import pytest

ROUNDS = 5
MOST_CALLS = 60
ORDERS, CARTS, PROFILES, PRODUCTS, SUPPORT = 5005, 5004, 5002, 5003, 5006
ADDRESS = {
    "recipient": "A Buyer",
    "address_line1": "1 Test Street",
    "city": "Testville",
    "postal_code": "97201",
    "country": "US",
}
CARD = {
    "card_number": "4242424242424242",
    "exp_month": 12,
    "exp_year": 2035,
    "cvc": "123",
    "cardholder_name": "A Buyer",
}
# No fault is injected here, so nobody may hear that something has timed out or was given up.
NEVER_SAID = {"reservation_ended", "voided", "order_pending", "failed_before", "interrupted"}


@dataclass(frozen=True)
class Pair:
    """Two requests, each `(who, method, path, body, key)`, and what they may be answered: `201+409` by either.

    :param given: what there is before, of which a `{name}` in a request is the id.
    :param then: yields what contradicts itself, given the world and the two answers.
    """

    name: str
    given: str
    one: tuple
    other: tuple
    may: str
    then: tuple = ()

    @property
    def allowed(self):
        return {tuple(map(int, each.split("+"))) for each in self.may.split()}


# What must hold afterwards.


def bought_once(world, *answers):
    """What was put in is in one order or still in the cart, and a 201 has its order."""
    bought, in_cart = world.bought(), world.in_cart()
    product = world.names["product"]
    if bought[product] + in_cart[product] != 2:
        yield f"2 were put in; {bought[product]} were bought, {in_cart[product]} are in the cart"
    placed = {answer.json["id"] for answer in answers if answer.status_code == 201}
    standing = {order["id"] for order in world.orders() if order["status"] not in ("failed", "cancelled")}
    if placed != standing:
        yield f"the orders {placed} were answered 201, {standing} stand"


def says_where_it_is(world, *answers):
    """Whoever finds nothing to buy hears which order has it, or that there is nothing."""
    for answer in answers:
        if answer.status_code == 409 and answer.json["code"] not in ("checkout_in_progress", "cart_empty"):
            yield f"a checkout without goods was answered {answer.json['code']}"
        if (
            answer.status_code == 409
            and answer.json["code"] == "checkout_in_progress"
            and "order_id" not in answer.json
        ):
            yield "checkout_in_progress without its order_id"


def one_more_is_kept(world, checkout, add):
    """One more was put in: it is bought or in the cart."""
    both = world.bought() + world.in_cart()
    wanted = 2 + (add.status_code == 201)
    if both[world.names["product"]] != wanted:
        yield f"{wanted} were put in; bought {world.bought()}, in the cart {world.in_cart()}"


def the_other_is_kept(world, checkout, add):
    yield from bought_once(world, checkout)
    other = (world.bought() + world.in_cart())[world.names["other_product"]]
    if other != 1:
        yield f"of the other product 1 was put in (201), {other} are bought or in the cart"


def changed_is_changed(world, checkout, change):
    """A quantity that was answered 200 is what is bought or in the cart."""
    product, wanted = world.names["product"], 5 if change.status_code == 200 else 2
    both = (world.bought() + world.in_cart())[product]
    if both != wanted:
        yield f"{wanted} are wanted (changing: {change.status_code}), {both} are bought or in the cart"


def taken_out_is_not_bought(world, checkout, remove):
    """What was taken out (204) is not bought; what was being bought could not be taken out."""
    bought, in_cart = world.bought()[world.names["product"]], world.in_cart()[world.names["product"]]
    if (bought, in_cart) != ((0, 0) if remove.status_code == 204 else (2, 0)):
        yield f"taking out was answered {remove.status_code}; {bought} were bought, {in_cart} are in the cart"


def emptied_or_bought(world, checkout, empty):
    """An emptied cart is empty; what was bought was not in it any more."""
    bought, in_cart = world.bought()[world.names["product"]], world.in_cart()[world.names["product"]]
    if (bought, in_cart) != ((2, 0) if checkout.status_code == 201 else (0, 0)):
        yield f"checkout {checkout.status_code}; {bought} were bought, {in_cart} are in the cart"


def seen_is_charged(world, checkout, change):
    """The buyer saw 20."""
    yield from bought_once(world, checkout)
    if checkout.status_code == 201 and checkout.json["total_amount"] != 20:
        yield f"the buyer saw 20 and was charged {checkout.json['total_amount']}"


def an_address_is_whole(world, checkout, change):
    yield from bought_once(world, checkout)
    if checkout.status_code == 201:
        sent_to = checkout.json["shipping_address"]
        if (sent_to["address_line1"], sent_to["city"]) not in {
            ("1 Test Street", "Testville"),
            ("2 New Road", "Newtown"),
        }:
            yield f"the parcel goes to {sent_to}, half of one address and half of another"


def what_was_answered_stays(world, checkout, move):
    """A 201 stays an order that stands unless a cancellation was answered 200; money follows (all pairs check it)."""
    cancelled = move.status_code == 200 and move.json.get("status") == "cancelled"
    statuses = [order["status"] for order in world.orders()]
    if checkout.status_code == 201 and (statuses == ["cancelled"]) != cancelled:
        yield f"checkout 201, the other {move.status_code}; the order is {statuses}"
    if checkout.status_code == 201 and world.in_cart():
        yield f"what was bought is still in the cart: {world.in_cart()}"


def the_last_are_sold_once(world, one, other):
    sold = world.bought()[world.names["product"]] + world.bought("neighbour")[world.names["product"]]
    stock = world.get("buyer", "/products/{product}")["stock"]
    if sold + stock != 3:
        yield f"there were 3; {sold} are sold, {stock} are left"


def cancelled_is_cancelled(world, *answers):
    """Every 200 of a cancellation says that the money is back, and it stays so."""
    order = world.get("buyer", "/orders/{order}")
    for answer in answers:
        if answer.status_code == 200 and answer.json.get("status") == "cancelled":
            if answer.json["payment_status"] != "refunded":
                yield f"a cancellation was answered {answer.json['payment_status']}"
            if order["status"] != "cancelled":
                yield f"a cancellation was answered 200, the order is {order['status']}"
    for axis in ("status", "payment_status"):
        moves = [(each["before"], each["after"]) for each in order["history"] if each["axis"] == axis]
        if any(before != after for (_, before), (after, _) in pairwise(moves)):
            yield f"its history does not follow: {moves}"
    stock = world.get("buyer", "/products/{product}")["stock"]
    if stock != (10 if order["status"] == "cancelled" else 8):
        yield f"the order is {order['status']}, the stock {stock}"


def one_review_each(reviews):
    def one_review_each(world, *answers):
        product = world.get("buyer", "/products/{product}")
        found = world.get("buyer", "/products/{product}/reviews")
        if not len(found) == product["review_count"] == reviews:
            yield f"{reviews} people wrote one; there are {len(found)}, counted {product['review_count']}"
        average = sum(each["rating"] for each in found) / len(found)
        if abs(product["rating"] - average) > 0.05:
            yield f"rated {[each['rating'] for each in found]}, shown {product['rating']}"

    return one_review_each


def favorite_at_most_once(world, *answers):
    favorites = [each["id"] for each in world.get("buyer", "/favorites")]
    if favorites not in ([], [world.names["product"]]):
        yield f"the favorites are {favorites}"


def one_default_of(path, lengths):
    def one_default(world, *answers):
        rows = world.get("buyer", path)
        defaults = sum(row["is_default"] for row in rows)
        if len(rows) not in lengths or defaults != bool(rows):
            yield f"{path} has {len(rows)} rows, {defaults} of them default"

    return one_default


def both_fields_stay(path, **fields):
    def both_fields_stay(world, *answers):
        row = world.get("admin" if path.startswith("/products") else "buyer", path)
        if {name: row[name] for name in fields} != fields:
            yield f"both were answered 200, and {path} is {row}"

    return both_fields_stay


def acted_once(path, number):
    """Twice the same key is once the effect, and both hear of the same thing."""

    def acted_once(world, *answers):
        ids = {answer.json["id"] for answer in answers if answer.status_code in (200, 201)}
        if len(ids) != 1:
            yield f"one key, and the answers are about {ids}"
        if path and len(world.get("buyer", path)) != number:
            yield f"{path} has {len(world.get('buyer', path))} rows and should have {number}"

    return acted_once


def in_the_cart(*quantities):
    def in_the_cart(world, *answers):
        found = world.in_cart()[world.names["product"]]
        if found not in quantities:
            yield f"{found} are in the cart, and should be one of {quantities}"

    return in_the_cart


def as_many_as_were_accepted(world, *answers):
    accepted = 6 * sum(answer.status_code == 201 for answer in answers)
    if world.in_cart()[world.names["product"]] != accepted:
        yield f"{accepted} were accepted, {world.in_cart()} is in the cart"


def ticket_is_one_or_the_other(world, *answers):
    ticket = world.get("buyer", "/tickets/{ticket}")
    if (ticket["status"] == "closed") != (ticket["closed_at"] is not None):
        yield f"the ticket is {ticket['status']}, closed at {ticket['closed_at']}"
    said = sum(answer.status_code == 201 for answer in answers)
    if len(ticket["messages"]) != 1 + said:
        yield f"{said} replies were answered 201, there are {len(ticket['messages']) - 1}"


def one_account(world, *answers):
    login = {"username": f"new-{world.number}", "password": "correct horse"}
    alike = [world.ask(None, "POST", "/login", login).status_code, *(answer.status_code for answer in answers)]
    if sorted(alike) not in ([200, 201, 409],):
        yield f"one may register and can sign in; it was {alike}"


def all_sessions_hold(world, *answers):
    for answer in answers:
        for name in ("access_token", "refresh_token"):
            world.tokens["fresh"] = answer.json[name]
            path = ("GET", "/profile") if name == "access_token" else ("POST", "/refresh")
            said = world.ask("fresh", *path).status_code
            if said != 200:
                yield f"both were answered, and an {name} is refused: {said}"


def no_session_is_left(world, refresh, _):
    """After a logout no token of that session works, not even one that was given out at the same moment."""
    if refresh.status_code == 200:
        for name, path in (("access_token", ("GET", "/profile")), ("refresh_token", ("POST", "/refresh"))):
            world.tokens["fresh"] = refresh.json[name]
            said = world.ask("fresh", *path).status_code
            if said != 401:
                yield f"signed out, and the {name} of a refresh at that moment still serves: {said}"


def shelf_holds(*stocks):
    def shelf_holds(world, *answers):
        stock = world.get("admin", "/products/{product}")["stock"]
        if stock not in stocks:
            yield f"the stock is {stock}, and should be one of {stocks}"

    return shelf_holds


def accepted_changes_add_up(world, *answers):
    taken = sum(6 for answer in answers if answer.status_code == 200)
    if world.get("admin", "/products/{product}")["stock"] != 10 - taken:
        yield f"{taken} were taken away of 10, {world.get('admin', '/products/{product}')['stock']} are left"


def reduced_is_reduced(world, *answers):
    product = world.get("admin", "/products/{product}")
    if product["old_price"] is not None and product["old_price"] <= product["price"]:
        yield f"reduced from {product['old_price']} to {product['price']}"


def reservation_is(*statuses, stocks):
    def reservation_is(world, *answers):
        reservation = world.ask("service", "GET", "/internal/reservations/{reservation}")
        status = reservation.json["status"] if reservation.status_code == 200 else None
        stock = world.get("admin", "/products/{product}")["stock"]
        if status not in statuses or stock not in stocks:
            yield f"the reservation is {status}, the stock {stock}"
        # The checks of all pairs look for reservations without an order: this one has none.
        if status in ("held", "committed"):
            to = "restock" if status == "committed" else "release"
            world.ask("service", "POST", f"/internal/reservations/{{reservation}}/{to}")

    return reservation_is


# What is sent.

CHECK_OUT = ("buyer", "POST", "/orders", {"payment_method_id": "{card}", "shipping_address": ADDRESS})
CHECK_OUT_BY_ADDRESS_BOOK = ("buyer", "POST", "/orders", {"payment_method_id": "{card}", "address_id": "{address}"})
CHECK_OUT_FOR_20 = (*CHECK_OUT[:3], {**CHECK_OUT[3], "expected_total": 20})
DECLINED = (*CHECK_OUT[:3], {**CHECK_OUT[3], "payment_method_id": "{bad_card}"})
ADD = ("buyer", "POST", "/cart/items", {"product_id": "{product}", "quantity": 1})
ADD_SIX = ("buyer", "POST", "/cart/items", {"product_id": "{product}", "quantity": 6})
SET_FIVE = ("buyer", "PUT", "/cart/items/{line}", {"quantity": 5})
TAKE_OUT = ("buyer", "DELETE", "/cart/items/{line}")
EMPTY = ("buyer", "DELETE", "/cart")
CANCEL = ("buyer", "DELETE", "/orders/{order}/cancel")
CANCEL_BY_POST = ("buyer", "POST", "/orders/{order}/cancel")
CANCEL_BY_STAFF = ("support", "PUT", "/orders/{order}", {"status": "cancelled"})
REVIEW = ("POST", "/products/{product}/reviews")
LIKE = ("buyer", "POST", "/favorites", {"product_id": "{product}"})
UNLIKE = ("buyer", "DELETE", "/favorites/{product}")
WITHDRAW = ("admin", "DELETE", "/products/{product}")
ADD_ADDRESS = ("buyer", "POST", "/addresses", ADDRESS)
ADD_DEFAULT_ADDRESS = ("buyer", "POST", "/addresses", {**ADDRESS, "is_default": True})
ADD_CARD = ("buyer", "POST", "/payment-methods", CARD)
ADD_DEFAULT_CARD = ("buyer", "POST", "/payment-methods", {**CARD, "is_default": True})
DROP_ADDRESS = ("buyer", "DELETE", "/addresses/{address}")
DROP_CARD = ("buyer", "DELETE", "/payment-methods/{card}")
REPLY = ("buyer", "POST", "/tickets/{ticket}/messages", {"message": "Still."})
STAFF_REPLY = ("support", "POST", "/tickets/{ticket}/messages", {"message": "Send it back."})
CLOSE = ("buyer", "PUT", "/tickets/{ticket}/close")
STAFF_CLOSE = ("support", "POST", "/tickets/{ticket}/close")
LOGOUT = ("buyer", "POST", "/logout")
REFRESH = ("buyer's refresh token", "POST", "/refresh")
TAKE_AWAY_SIX = ("admin", "POST", "/products/{product}/stock", {"change": -6, "reason": "broken"})
RESERVE = (
    "service",
    "POST",
    "/internal/reservations",
    {"reservation_id": "{reservation}", "items": [{"product_id": "{product}", "quantity": 2}]},
)
COMMIT = ("service", "POST", "/internal/reservations/{reservation}/commit")
RELEASE = ("service", "POST", "/internal/reservations/{reservation}/release")
RESTOCK = ("service", "POST", "/internal/reservations/{reservation}/restock")


def put_product(**fields):
    return ("admin", "PUT", "/products/{product}", fields)


def put_order(status, who="admin", order="{order}"):
    return (who, "PUT", f"/orders/{order}", {"status": status})


def with_key(request, key="key-{key}"):
    who, method, path, *body = request
    return (who, method, path, body[0] if body else None, key)


def register(name="new-{number}", email="new-{number}@example.com"):
    return (None, "POST", "/register", {"username": name, "email": email, "password": "correct horse"})


def deliver(event, port):
    return ("service", "POST", "/internal/events", {"@": port, "*": event})


SECOND_FAILS = "201+409 409+201"
NEW_PRODUCT = {"name": "New", "description": "", "category": "things", "price": 1, "stock": 1}

CHECKOUTS = [
    Pair("two tabs", "a_full_cart", CHECK_OUT, CHECK_OUT, SECOND_FAILS, (bought_once, says_where_it_is)),
    Pair(
        "two tabs with a key each",
        "a_full_cart",
        with_key(CHECK_OUT, "a-{key}"),
        with_key(CHECK_OUT, "b-{key}"),
        SECOND_FAILS,
        (bought_once, says_where_it_is),
    ),
    Pair(
        "two tabs that saw the total",
        "a_full_cart",
        CHECK_OUT_FOR_20,
        with_key(CHECK_OUT_FOR_20),
        SECOND_FAILS,
        (bought_once, says_where_it_is),
    ),
    Pair(
        "one key twice",
        "a_full_cart",
        with_key(CHECK_OUT),
        with_key(CHECK_OUT),
        f"201+201 {SECOND_FAILS}",
        (bought_once, acted_once("/orders", 1)),
    ),
    Pair(
        "a declined card and a good one",
        "a_full_cart",
        DECLINED,
        CHECK_OUT,
        "402+201 409+201 402+409",
        (bought_once,),
    ),
    Pair("two declined cards", "a_full_cart", DECLINED, DECLINED, "402+402 402+409 409+402", (bought_once,)),
    Pair(
        "the last ones for two",
        "two_full_carts_and_three_pieces",
        CHECK_OUT,
        (
            "neighbour",
            "POST",
            "/orders",
            {"payment_method_id": "{neighbours_card}", "shipping_address": ADDRESS},
        ),
        SECOND_FAILS,
        (the_last_are_sold_once,),
    ),
    Pair("checkout, one more", "a_full_cart", CHECK_OUT, ADD, "201+201 409+201", (one_more_is_kept,)),
    Pair("declined, one more", "a_full_cart", DECLINED, ADD, "402+201 409+201", (one_more_is_kept,)),
    Pair(
        "checkout, another product",
        "a_full_cart_and_another_product",
        CHECK_OUT,
        ("buyer", "POST", "/cart/items", {"product_id": "{other_product}", "quantity": 1}),
        "201+201 409+201",
        (the_other_is_kept,),
    ),
    Pair(
        "checkout, other quantity",
        "a_full_cart",
        CHECK_OUT,
        SET_FIVE,
        "201+200 409+200 201+404 201+409",
        (changed_is_changed,),
    ),
    Pair(
        "declined, other quantity",
        "a_full_cart",
        DECLINED,
        SET_FIVE,
        "402+200 409+200 402+404 402+409",
        (changed_is_changed,),
    ),
    Pair(
        "checkout, taken out",
        "a_full_cart",
        CHECK_OUT,
        TAKE_OUT,
        "409+204 201+404 201+409",
        (taken_out_is_not_bought,),
    ),
    Pair("checkout, emptied", "a_full_cart", CHECK_OUT, EMPTY, "201+204 409+204", (emptied_or_bought,)),
    Pair(
        "checkout, dearer",
        "a_full_cart",
        CHECK_OUT,
        put_product(price=12),
        "201+200 409+200",
        (seen_is_charged,),
    ),
    Pair(
        "checkout, cheaper",
        "a_full_cart",
        CHECK_OUT_FOR_20,
        put_product(price=1),
        "201+200 409+200",
        (seen_is_charged,),
    ),
    Pair(
        "checkout, stock set",
        "a_full_cart",
        CHECK_OUT,
        put_product(stock=1),
        "201+200 409+200",
        (bought_once,),
    ),
    Pair(
        "checkout, stock taken away",
        "a_full_cart",
        CHECK_OUT,
        ("admin", "POST", "/products/{product}/stock", {"change": -9, "reason": "broken"}),
        "201+409 409+200",
        (bought_once,),
    ),
    Pair("checkout, withdrawn", "a_full_cart", CHECK_OUT, WITHDRAW, "201+204 409+204", (bought_once,)),
    Pair("checkout, card removed", "a_full_cart", CHECK_OUT, DROP_CARD, "201+204 404+204", (bought_once,)),
    Pair(
        "checkout, address removed",
        "a_full_cart",
        CHECK_OUT_BY_ADDRESS_BOOK,
        DROP_ADDRESS,
        "201+204 404+204",
        (bought_once,),
    ),
    Pair(
        "checkout, address changed",
        "a_full_cart",
        CHECK_OUT_BY_ADDRESS_BOOK,
        ("buyer", "PUT", "/addresses/{address}", {"address_line1": "2 New Road", "city": "Newtown"}),
        "201+200",
        (an_address_is_whole,),
    ),
    Pair("checkout, logout", "a_full_cart", CHECK_OUT, LOGOUT, "201+200 401+200", (bought_once,)),
    Pair(
        "checkout, cancelled by its buyer",
        "a_full_cart",
        CHECK_OUT,
        ("buyer", "DELETE", "/orders/{newest}/cancel"),
        "201+200 201+404 201+409",
        (what_was_answered_stays,),
    ),
    *(
        Pair(
            f"checkout, staff says {status}",
            "a_full_cart",
            CHECK_OUT,
            put_order(status, order="{newest}"),
            may,
            (what_was_answered_stays,),
        )
        for status, may in {
            "failed": "201+409 201+404 201+422",
            "confirmed": "201+409 201+404 201+422",
            "pending": "201+409 201+404 201+422",
            "processing": "201+200 201+409 201+404",
            "shipped": "201+409 201+404",
            "cancelled": "201+200 201+409 201+404",
        }.items()
    ),
    *(
        Pair(
            f"declined, staff says {status}",
            "a_full_cart",
            DECLINED,
            put_order(status, order="{newest}"),
            "402+409 402+404 402+422",
            (bought_once,),
        )
        for status in ("failed", "confirmed", "cancelled")
    ),
    Pair("checkout, jobs of orders", "a_full_cart", CHECK_OUT, ("jobs", "RUN", "5005"), "201+200", (bought_once,)),
    Pair("checkout, jobs of the shelf", "a_full_cart", CHECK_OUT, ("jobs", "RUN", "5003"), "201+200", (bought_once,)),
    Pair("declined, jobs of orders", "a_full_cart", DECLINED, ("jobs", "RUN", "5005"), "402+200", (bought_once,)),
]

ORDERED = [
    Pair("cancel, cancel", "an_order", CANCEL, CANCEL, "200+200", (cancelled_is_cancelled,)),
    Pair("cancel, cancel by POST", "an_order", CANCEL, CANCEL_BY_POST, "200+200", (cancelled_is_cancelled,)),
    Pair("cancel, cancel by staff", "an_order", CANCEL, CANCEL_BY_STAFF, "200+200", (cancelled_is_cancelled,)),
    Pair(
        "cancel twice with one key",
        "an_order",
        with_key(CANCEL),
        with_key(CANCEL),
        "200+200 200+409 409+200",
        (cancelled_is_cancelled,),
    ),
    Pair(
        "cancel, process",
        "an_order",
        CANCEL,
        put_order("processing"),
        "200+200 200+409 409+200",
        (cancelled_is_cancelled,),
    ),
    Pair(
        "cancel, ship",
        "an_order_in_processing",
        CANCEL,
        put_order("shipped", "support"),
        "200+409 409+200",
        (cancelled_is_cancelled,),
    ),
    Pair(
        "refund, deliver",
        "a_shipped_order",
        CANCEL,
        put_order("delivered"),
        "409+200",
        (cancelled_is_cancelled,),
    ),
    Pair(
        "ship, ship",
        "an_order_in_processing",
        put_order("shipped"),
        put_order("shipped", "support"),
        "200+409 409+200 200+200",
        (cancelled_is_cancelled,),
    ),
    Pair(
        "deliver, deliver",
        "a_shipped_order",
        put_order("delivered"),
        put_order("delivered", "support"),
        "200+409 409+200 200+200",
        (cancelled_is_cancelled,),
    ),
    Pair("cancel, jobs", "an_order", CANCEL, ("jobs", "RUN", "5005"), "200+200", (cancelled_is_cancelled,)),
    Pair(
        "cancel, withdrawn",
        "an_order",
        CANCEL,
        WITHDRAW,
        "200+204",
    ),
    Pair("cancel, buy again", "an_order_and_a_full_cart", CANCEL, CHECK_OUT, "200+201"),
]

SHELVES = [
    Pair(
        "two reviews of one person",
        "a_shelf",
        ("buyer", *REVIEW, {"rating": 1}),
        ("buyer", *REVIEW, {"rating": 5}),
        "201+200 200+201",
        (one_review_each(1),),
    ),
    Pair(
        "reviews of two people",
        "two_people_and_a_product",
        ("buyer", *REVIEW, {"rating": 2}),
        ("neighbour", *REVIEW, {"rating": 5}),
        "201+201",
        (one_review_each(2),),
    ),
    Pair("review, withdrawn", "a_shelf", ("buyer", *REVIEW, {"rating": 1}), WITHDRAW, "201+204 404+204"),
    Pair("like, like", "a_shelf", LIKE, LIKE, "201+200 200+201", (favorite_at_most_once,)),
    Pair("like, unlike", "a_favorite", LIKE, UNLIKE, "200+204 201+204", (favorite_at_most_once,)),
    Pair("unlike, unlike", "a_favorite", UNLIKE, UNLIKE, "204+404 404+204", (favorite_at_most_once,)),
    Pair("like, withdrawn", "a_shelf", LIKE, WITHDRAW, "201+204 404+204"),
    Pair(
        "two fields of a product",
        "a_shelf",
        put_product(name="Lamp"),
        put_product(description="Bright."),
        "200+200",
        (both_fields_stay("/products/{product}", name="Lamp", description="Bright."),),
    ),
    Pair(
        "price, old price",
        "a_shelf",
        put_product(price=30),
        put_product(old_price=20),
        "200+422 422+200",
        (reduced_is_reduced,),
    ),
    Pair(
        "stock set, stock set", "a_shelf", put_product(stock=3), put_product(stock=4), "200+200", (shelf_holds(3, 4),)
    ),
    Pair("stock set, taken away", "a_shelf", put_product(stock=7), TAKE_AWAY_SIX, "200+200", (shelf_holds(1, 7),)),
    Pair(
        "taken away, taken away",
        "a_shelf",
        TAKE_AWAY_SIX,
        TAKE_AWAY_SIX,
        "200+409 409+200",
        (accepted_changes_add_up,),
    ),
    Pair(
        "taken away twice with one key",
        "a_shelf",
        with_key(TAKE_AWAY_SIX),
        with_key(TAKE_AWAY_SIX),
        "200+200 200+409 409+200",
        (shelf_holds(4), acted_once("", 0)),
    ),
    Pair("product changed, withdrawn", "a_shelf", put_product(price=12, stock=1), WITHDRAW, "200+204 404+204"),
    Pair("withdrawn, withdrawn", "a_shelf", WITHDRAW, WITHDRAW, "204+404 404+204"),
    Pair(
        "a new product twice with one key",
        "nobody",
        with_key(("admin", "POST", "/products", NEW_PRODUCT)),
        with_key(("admin", "POST", "/products", NEW_PRODUCT)),
        f"201+201 {SECOND_FAILS}",
    ),
    Pair(
        "reserve, reserve",
        "a_reservation_to_come",
        RESERVE,
        RESERVE,
        "201+200 200+201",
        (reservation_is("held", stocks=[8]),),
    ),
    Pair(
        "reserve, release",
        "a_reservation_to_come",
        RESERVE,
        RELEASE,
        "201+200 409+200",
        (reservation_is("released", stocks=[10]),),
    ),
    Pair(
        "reserve, taken away",
        "a_reservation_to_come",
        RESERVE,
        ("admin", "POST", "/products/{product}/stock", {"change": -9, "reason": "broken"}),
        "201+409 409+200",
        (reservation_is("held", None, stocks=[8, 1]),),
    ),
    Pair(
        "commit, commit",
        "a_reservation",
        COMMIT,
        COMMIT,
        "200+200",
        (reservation_is("committed", stocks=[8]),),
    ),
    Pair(
        "commit, release",
        "a_reservation",
        COMMIT,
        RELEASE,
        "200+409 409+200",
        (reservation_is("committed", "released", stocks=[8, 10]),),
    ),
    Pair(
        "release, release",
        "a_reservation",
        RELEASE,
        RELEASE,
        "200+200",
        (reservation_is("released", stocks=[10]),),
    ),
    Pair(
        "restock, restock",
        "a_sold_reservation",
        RESTOCK,
        RESTOCK,
        "200+200",
        (reservation_is("restocked", stocks=[10]),),
    ),
]

CARTED = [
    Pair("add, add", "a_shelf", ADD, ADD, "201+201", (in_the_cart(2),)),
    Pair("add, add more than there is", "a_shelf", ADD_SIX, ADD_SIX, SECOND_FAILS, (as_many_as_were_accepted,)),
    Pair(
        "add twice with one key",
        "a_shelf",
        with_key(ADD),
        with_key(ADD),
        f"201+201 {SECOND_FAILS}",
        (in_the_cart(1),),
    ),
    Pair("add, other quantity", "a_full_cart", ADD, SET_FIVE, "201+200", (in_the_cart(5, 6),)),
    Pair("add, taken out", "a_full_cart", ADD, TAKE_OUT, "201+204", (in_the_cart(0, 1),)),
    Pair("add, emptied", "a_full_cart", ADD, EMPTY, "201+204", (in_the_cart(0, 1),)),
    Pair("add, withdrawn", "a_shelf", ADD, WITHDRAW, "201+204 404+204"),
    Pair(
        "quantity, quantity",
        "a_full_cart",
        SET_FIVE,
        ("buyer", "PUT", "/cart/items/{line}", {"quantity": 3}),
        "200+200",
        (in_the_cart(3, 5),),
    ),
    Pair("quantity, taken out", "a_full_cart", SET_FIVE, TAKE_OUT, "200+204 404+204", (in_the_cart(0),)),
    Pair("taken out, taken out", "a_full_cart", TAKE_OUT, TAKE_OUT, "204+404 404+204", (in_the_cart(0),)),
    Pair("taken out, emptied", "a_full_cart", TAKE_OUT, EMPTY, "204+204 404+204", (in_the_cart(0),)),
    Pair("emptied, emptied", "a_full_cart", EMPTY, EMPTY, "204+204", (in_the_cart(0),)),
]

AT_HOME = [
    Pair(
        "first words about oneself",
        "somebody",
        ("buyer", "PUT", "/profile", {"first_name": "Ann"}),
        ("buyer", "PUT", "/profile", {"city": "Portland"}),
        "200+200",
        (both_fields_stay("/profile", first_name="Ann", city="Portland"),),
    ),
    Pair(
        "two first addresses",
        "somebody",
        ADD_ADDRESS,
        ADD_ADDRESS,
        "201+201",
        (one_default_of("/addresses", [2]),),
    ),
    Pair(
        "two new default addresses",
        "two_addresses",
        ADD_DEFAULT_ADDRESS,
        ADD_DEFAULT_ADDRESS,
        "201+201",
        (one_default_of("/addresses", [4]),),
    ),
    Pair(
        "an address twice with one key",
        "somebody",
        with_key(ADD_ADDRESS),
        with_key(ADD_ADDRESS),
        f"201+201 {SECOND_FAILS}",
        (acted_once("/addresses", 1),),
    ),
    Pair(
        "two become the default",
        "two_addresses",
        ("buyer", "PUT", "/addresses/{address}", {"is_default": True}),
        ("buyer", "PUT", "/addresses/{other_address}", {"is_default": True}),
        "200+200",
        (one_default_of("/addresses", [2]),),
    ),
    Pair(
        "two fields of an address",
        "two_addresses",
        ("buyer", "PUT", "/addresses/{address}", {"label": "Home"}),
        ("buyer", "PUT", "/addresses/{address}", {"city": "Portland"}),
        "200+200",
        (both_fields_stay("/addresses/{address}", label="Home", city="Portland"),),
    ),
    Pair(
        "the default goes, another comes",
        "two_addresses",
        DROP_ADDRESS,
        ("buyer", "PUT", "/addresses/{other_address}", {"is_default": True}),
        "204+200",
        (one_default_of("/addresses", [1]),),
    ),
    Pair(
        "both go",
        "two_addresses",
        DROP_ADDRESS,
        ("buyer", "DELETE", "/addresses/{other_address}"),
        "204+204",
        (one_default_of("/addresses", [0]),),
    ),
    Pair(
        "an address goes twice",
        "two_addresses",
        DROP_ADDRESS,
        DROP_ADDRESS,
        "204+404 404+204",
        (one_default_of("/addresses", [1]),),
    ),
    Pair(
        "an address goes and is changed",
        "two_addresses",
        DROP_ADDRESS,
        ("buyer", "PUT", "/addresses/{address}", {"is_default": True}),
        "204+200 204+404",
        (one_default_of("/addresses", [1]),),
    ),
    Pair("two first cards", "somebody", ADD_CARD, ADD_CARD, "201+201", (one_default_of("/payment-methods", [2]),)),
    Pair(
        "a card twice with one key",
        "somebody",
        with_key(ADD_CARD),
        with_key(ADD_CARD),
        f"201+201 {SECOND_FAILS}",
        (acted_once("/payment-methods", 1),),
    ),
    Pair(
        "the default card goes, another comes",
        "two_cards",
        DROP_CARD,
        ADD_DEFAULT_CARD,
        "204+201",
        (one_default_of("/payment-methods", [2]),),
    ),
    Pair(
        "a card goes twice",
        "two_cards",
        DROP_CARD,
        DROP_CARD,
        "204+404 404+204",
        (one_default_of("/payment-methods", [1]),),
    ),
    Pair(
        "both cards go",
        "two_cards",
        DROP_CARD,
        ("buyer", "DELETE", "/payment-methods/{other_card}"),
        "204+204",
        (one_default_of("/payment-methods", [0]),),
    ),
]

TALK = [
    Pair(
        "a ticket twice with one key",
        "somebody",
        with_key(("buyer", "POST", "/tickets", {"subject": "Lamp", "message": "It flickers."})),
        with_key(("buyer", "POST", "/tickets", {"subject": "Lamp", "message": "It flickers."})),
        f"201+201 {SECOND_FAILS}",
        (acted_once("/tickets", 1),),
    ),
    Pair("reply, close", "a_ticket", REPLY, STAFF_CLOSE, "201+200", (ticket_is_one_or_the_other,)),
    Pair("reply, close again", "a_closed_ticket", STAFF_REPLY, CLOSE, "201+200", (ticket_is_one_or_the_other,)),
    Pair("reply, reply", "a_closed_ticket", REPLY, STAFF_REPLY, "201+201", (ticket_is_one_or_the_other,)),
    Pair("close, close", "a_ticket", CLOSE, STAFF_CLOSE, "200+200", (ticket_is_one_or_the_other,)),
]

SESSIONS = [
    Pair("one name", "nobody", register(), register(email="other-{number}@example.com"), SECOND_FAILS, (one_account,)),
    Pair("one e-mail", "nobody", register(), register(name="other-{number}"), SECOND_FAILS),
    Pair("refresh, refresh", "somebody", REFRESH, REFRESH, "200+200", (all_sessions_hold,)),
    Pair("refresh, logout", "somebody", REFRESH, LOGOUT, "200+200 401+200", (no_session_is_left,)),
    Pair("logout, logout", "somebody", LOGOUT, LOGOUT, "200+200 200+401 401+200"),
]

EVENTS = [
    Pair(
        "an order's event twice",
        "an_event_of_an_order",
        deliver("{event}", PRODUCTS),
        deliver("{event}", PRODUCTS),
        "204+204",
    ),
    Pair(
        "an order's event twice at support",
        "an_event_of_an_order",
        deliver("{support_event}", SUPPORT),
        deliver("{support_event}", SUPPORT),
        "204+204",
    ),
    Pair(
        "a product's event twice",
        "an_event_of_a_product",
        deliver("{event}", CARTS),
        deliver("{event}", CARTS),
        "204+204",
    ),
    Pair(
        "an account's event, and words about oneself",
        "an_event_of_an_account",
        deliver("{event}", PROFILES),
        ("buyer", "PUT", "/profile", {"first_name": "Ann"}),
        "204+200",
        (both_fields_stay("/profile", first_name="Ann"),),
    ),
]

PAIRS = [*CHECKOUTS, *ORDERED, *SHELVES, *CARTED, *AT_HOME, *TALK, *SESSIONS, *EVENTS]

# Writing routes that are in no pair, as patterns, and why.
UNPAIRED = {
    "POST /login": "each makes a session of its own",
    "POST /validate": "it writes nothing",
    "POST /token": "it writes nothing",
    "POST /webhooks/stripe": "it is there with a key of Stripe's only",
    "* /internal/cart*": "the order service's steps, which all pairs of a checkout take",
    "* /internal/claims*": "the order service's steps, which all pairs of a checkout take",
}


def complaints(pair, world, answers):
    statuses = tuple(answer.status_code for answer in answers)
    codes = [(answer.json or {}).get("code") if answer.status_code >= 400 else None for answer in answers]
    if statuses not in pair.allowed:
        yield f"answered {statuses} {codes}"
    elif pair in CHECKOUTS and NEVER_SAID.intersection(codes):
        yield f"somebody was told {codes}"
    elif max(statuses) < 500:
        for law in pair.then:
            yield from law(world, *answers)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_two_requests_at_once_contradict_nothing(market, pair):
    found, worlds = [], []
    for _ in range(ROUNDS):
        worlds.append(market.new_world(pair.given, pair.one, pair.other))
        answers = market.at_once(worlds[-1], [pair.one, pair.other])
        found += complaints(pair, worlds[-1], answers)

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_request_inside_another_contradicts_nothing(market, pair):
    found, worlds = [], []
    for is_turned in (False, True) if pair.one != pair.other else (False,):
        outer, inner = (pair.other, pair.one) if is_turned else (pair.one, pair.other)
        if outer[0] == "jobs":
            continue
        for nth in count(1):
            assert nth < MOST_CALLS
            worlds.append(market.new_world(pair.given, outer, inner))
            *answers, call = market.one_inside_the_other(worlds[-1], outer, inner, nth)
            where = f"{inner[1]} {inner[2]} before {call}" if call else f"{inner[1]} {inner[2]} afterwards"
            answers = answers[::-1] if is_turned else answers
            found += [f"{where}: {each}" for each in complaints(pair, worlds[-1], answers)]
            if not call:
                break

    found += market.complaints(*worlds)
    assert not found, "\n".join(found)


def test_twelve_different_products_added_at_once_all_get_in(market):
    for _ in range(ROUNDS):
        world = market.new_world("somebody_and_twelve_products")
        adds = [("buyer", "POST", "/cart/items", {"product_id": f"{{product{each}}}"}) for each in range(12)]

        answers = market.at_once(world, adds)

        assert [answer.status_code for answer in answers] == [201] * 12
        assert sorted(world.in_cart().values()) == [1] * 12
        assert market.complaints(world) == []


@pytest.mark.parametrize("checkout", [CHECK_OUT, CHECK_OUT_FOR_20], ids=["any total", "the total that was seen"])
@pytest.mark.parametrize("has_keys", [False, True], ids=["without keys", "a key each"])
def test_of_eight_checkouts_of_one_cart_one_buys_it(market, checkout, has_keys):
    for _ in range(ROUNDS):
        world = market.new_world("a_full_cart")
        tabs = [with_key(checkout, f"tab-{each}") if has_keys else checkout for each in range(8)]

        answers = market.at_once(world, tabs)

        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
        assert [*bought_once(world, *answers), *says_where_it_is(world, *answers)] == []
        assert market.complaints(world) == []


def test_several_cancels_at_once_and_a_later_one_are_answered_with_the_one_result(market):
    for _ in range(ROUNDS):
        world = market.new_world("an_order")

        answers = market.at_once(world, [CANCEL, CANCEL_BY_POST, CANCEL_BY_STAFF, CANCEL, CANCEL])
        answers.append(world.ask(*CANCEL))

        results = {(each.status_code, each.json.get("status"), each.json.get("payment_status")) for each in answers}
        assert results == {(200, "cancelled", "refunded")}
        assert [*cancelled_is_cancelled(world, *answers), *market.complaints(world)] == []


def test_several_refreshes_at_once_sign_nobody_out(market):
    for _ in range(ROUNDS):
        world = market.new_world("somebody")

        answers = market.at_once(world, [REFRESH] * 3)

        assert [answer.status_code for answer in answers] == [200] * 3
        assert list(all_sessions_hold(world, *answers)) == []


def test_every_writing_route_is_in_a_pair(market):
    """A new one belongs in `PAIRS`, with whatever else writes to the same thing, or in `UNPAIRED` with a reason."""
    paired = {f"{request[1]} {_example(request[2])}" for pair in PAIRS for request in (pair.one, pair.other)}
    missing = []
    for app in market.apps.values():
        routes = app.url_map.bind("localhost")
        matched = {
            (rule.rule, name.split()[0])
            for name in paired
            if routes.test(name.split()[1], name.split()[0])
            for rule in [routes.match(name.split()[1], name.split()[0], return_rule=True)[0]]
        }
        for rule in app.url_map.iter_rules():
            for method in sorted(rule.methods - {"GET", "HEAD", "OPTIONS"}):
                name = f"{method} {rule.rule}"
                known = any(fnmatchcase(name, pattern) for pattern in UNPAIRED)
                if (rule.rule, method) not in matched and not known:
                    missing.append(f"{app.name} {name}")

    assert missing == []


def _example(path):
    """A path with an id where a name stands."""
    return re.sub(r"\{(\w+)\}", lambda found: str(UUID_EXAMPLE) if found[1] == "reservation" else "1", path)


UUID_EXAMPLE = "00000000-0000-0000-0000-000000000001"
