"""What one round of a pair touches, and nobody else: people, products, a cart, orders, tickets …"""

import re
from collections import Counter
from uuid import uuid4

AUTH, PROFILES, PRODUCTS, CARTS, ORDERS, SUPPORT = range(5001, 5007)
PORT_OF = {
    **dict.fromkeys(("register", "login", "logout", "refresh"), AUTH),
    **dict.fromkeys(("profile", "addresses", "payment-methods"), PROFILES),
    **dict.fromkeys(("products", "favorites", "internal"), PRODUCTS),
    "cart": CARTS,
    "orders": ORDERS,
    "tickets": SUPPORT,
}
VISA, DECLINED = "4242424242424242", "4000000000000002"
PASSWORD = "correct horse"
PRICE, STOCK, WANTED = 10, 10, 2
ADDRESS = {
    "recipient": "A Buyer",
    "address_line1": "1 Test Street",
    "city": "Testville",
    "postal_code": "97201",
    "country": "US",
}
CARD = {"card_number": VISA, "exp_month": 12, "exp_year": 2035, "cvc": "123", "cardholder_name": "A Buyer"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class World:
    """What the requests of one round touch, and nobody else: people, products, a cart, orders, tickets …"""

    def __init__(self, market, number):
        self.market, self.number = market, number
        self.names = {"key": uuid4().hex, "number": number}
        self.tokens = dict(market.staff)

    def ask(self, who, method, path, body=None, key=None, if_match=None):
        """Send a request; `{card}` in it is this world's card. Who is "jobs" runs those of the service on this port."""
        if who == "jobs":
            return self.market.run_jobs(int(path))
        path, body = self.filled(path), self.filled(body) or {}
        port = body.pop("@", None) or PORT_OF[path.split("?")[0].split("/")[1]]
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}
        if key:
            headers["Idempotency-Key"] = self.filled(key)
        if if_match:
            headers["If-Match"] = self.filled(if_match)
        body = body.get("*", body) or None
        return self.market.apps[port].test_client().open(path, method=method, json=body, headers=headers)

    def get(self, who, path):
        answer = self.ask(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def make(self, name, who, method, path, body=None, status=201):
        """Send a request that must succeed, and call the id of what came to be by a name."""
        answer = self.ask(who, method, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        if name:
            self.names[name] = answer.json["id"]
        return answer.json

    def filled(self, template):
        if isinstance(template, dict):
            return {name: self.filled(value) for name, value in template.items()}
        if isinstance(template, list):
            return [self.filled(each) for each in template]
        if not isinstance(template, str):
            return template
        if whole := PLACEHOLDER.fullmatch(template):
            return self._named(whole[1])
        return PLACEHOLDER.sub(lambda found: str(self._named(found[1])), template)

    def _named(self, name):
        if name == "newest":  # the buyer's newest order as it is now, pending or not
            orders = self.ask("admin", "GET", f"/orders?user_id={self.names['buyer']}&per_page=1").json
            return orders[0]["id"] if orders else 0
        return self.names[name]

    # What a round begins with.

    def nobody(self):
        pass

    def somebody(self, name="buyer"):
        login = {"username": f"{name}-{self.number}", "password": PASSWORD}
        self.make(name, None, "POST", "/register", {**login, "email": f"{name}-{self.number}@example.com"})
        self.sign_in(name)

    def sign_in(self, name="buyer"):
        login = {"username": f"{name}-{self.number}", "password": PASSWORD}
        session = self.make(None, None, "POST", "/login", login, 200)
        self.tokens[name] = session["access_token"]
        self.tokens[f"{name}'s refresh token"] = session["refresh_token"]

    def a_product(self, name="product"):
        new = {"name": "Thing", "description": "", "category": "things", "price": PRICE, "stock": STOCK}
        self.make(name, "admin", "POST", "/products", new)

    def a_shelf(self):
        self.somebody()
        self.a_product()
        self.a_product("other_product")

    def somebody_and_twelve_products(self):
        self.somebody()
        for each in range(12):
            self.a_product(f"product{each}")

    def a_full_cart(self, name="buyer"):
        """Two of a product in it, and a card."""
        self.somebody(name)
        if "product" not in self.names:
            self.a_product()
        owner = "" if name == "buyer" else f"{name}s_"
        self.make(f"{owner}card", name, "POST", "/payment-methods", CARD)
        cart = self.make(None, name, "POST", "/cart/items", {"product_id": "{product}", "quantity": WANTED})
        self.names[f"{owner}line"] = cart["items"][0]["id"]

    def add_what_is_named_in(self, asks):
        """What few requests need."""
        if "{bad_card}" in str(asks):
            self.make("bad_card", "buyer", "POST", "/payment-methods", {**CARD, "card_number": DECLINED})
        if "{address}" in str(asks) and "address" not in self.names:
            self.make("address", "buyer", "POST", "/addresses", ADDRESS)
        if "{copy}" in str(asks):
            self.names["copy"] = self.ask("admin", "GET", "/products/{product}").headers["ETag"]

    def a_full_cart_and_another_product(self):
        self.a_full_cart()
        self.a_product("other_product")

    def two_full_carts_and_three_pieces(self):
        self.a_full_cart()
        self.a_full_cart("neighbour")
        self.make(None, "admin", "POST", "/products/{product}/stock", {"change": 3 - STOCK, "reason": "counted"}, 200)

    def an_order(self):
        self.a_full_cart()
        order = {"payment_method_id": "{card}", "shipping_address": ADDRESS}
        self.make("order", "buyer", "POST", "/orders", order)

    def an_order_and_a_full_cart(self):
        self.an_order()
        self.make(None, "buyer", "POST", "/cart/items", {"product_id": "{product}", "quantity": WANTED})

    def an_order_in_processing(self):
        self.an_order()
        self.make(None, "admin", "PUT", "/orders/{order}", {"status": "processing"}, 200)

    def a_shipped_order(self):
        self.an_order_in_processing()
        self.make(None, "admin", "PUT", "/orders/{order}", {"status": "shipped"}, 200)

    def an_event_of_an_order(self):
        self.an_order()
        self._take_event("orders", "product-service", "event")
        self._take_event("orders", "customer-support-service", "support_event")

    def an_event_of_a_product(self):
        self.a_full_cart()
        self.make(None, "admin", "PUT", "/products/{product}", {"price": PRICE + 1}, 200)
        self._take_event("product", "cart-service", "event")

    def an_event_of_an_account(self):
        self.somebody()
        self._take_event("auth", "profile-service", "event")

    def _take_event(self, database, target, name):
        query = f"SELECT id FROM outbox WHERE target = '{target}' ORDER BY occurred_at DESC LIMIT 1"  # noqa: S608
        event_id = self.market.rows(database, query)[0]["id"]
        self.names[name] = self.market.event(database, event_id, target)

    def two_addresses(self):
        self.somebody()
        for name in ("address", "other_address"):
            self.make(name, "buyer", "POST", "/addresses", ADDRESS)

    def two_cards(self):
        self.somebody()
        for name in ("card", "other_card"):
            self.make(name, "buyer", "POST", "/payment-methods", CARD)

    def a_favorite(self):
        self.a_shelf()
        self.make(None, "buyer", "POST", "/favorites", {"product_id": "{product}"})

    def two_people_and_a_product(self):
        self.a_shelf()
        self.somebody("neighbour")

    def a_ticket(self):
        self.somebody()
        self.make("ticket", "buyer", "POST", "/tickets", {"subject": "Lamp", "message": "It flickers."})

    def a_closed_ticket(self):
        self.a_ticket()
        self.make(None, "buyer", "PUT", "/tickets/{ticket}/close", None, 200)

    def a_reservation_to_come(self):
        self.a_product()
        self.names["reservation"] = str(uuid4())

    def a_reservation(self):
        self.a_reservation_to_come()
        wanted = {"reservation_id": "{reservation}", "items": [{"product_id": "{product}", "quantity": WANTED}]}
        self.make(None, "service", "POST", "/internal/reservations", wanted)

    def a_sold_reservation(self):
        self.a_reservation()
        self.make(None, "service", "POST", "/internal/reservations/{reservation}/commit", None, 200)

    # What came of it.

    def orders(self, who="buyer"):
        return self.get("admin", f"/orders?user_id={self.names[who]}")

    def standing_orders(self, who="buyer"):
        """The items of each order that neither failed nor was cancelled."""
        ended = ("failed", "cancelled")
        return {order["id"]: order["items"] for order in self.orders(who) if order["status"] not in ended}

    def bought(self, who="buyer"):
        """How many of each product there are in orders that stand."""
        found = Counter()
        for items in self.standing_orders(who).values():
            found.update({each["product_id"]: each["quantity"] for each in items})
        return found

    def cart(self, who="buyer"):
        cart = self.ask(who, "GET", "/cart")
        if cart.status_code == 401:  # the round was about signing out
            self.sign_in(who)
            return self.get(who, "/cart")
        return cart.json

    def in_cart(self, who="buyer"):
        return Counter({item["product_id"]: item["quantity"] for item in self.cart(who)["items"]})
