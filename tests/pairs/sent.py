"""The requests of the pairs, each `(who, method, path, body, key)`; a `{name}` in it is of the world it happens in."""

from pairs.world import ADDRESS, CARD

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


def set_stock(stock):
    """With the copy of the product that the form was filled from."""
    return ("admin", "PUT", "/products/{product}", {"stock": stock}, None, "{copy}")


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
