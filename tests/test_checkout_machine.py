"""Whatever customers, staff and failing services do to the whole shop, in any order: it never contradicts itself."""

from datetime import timedelta
from functools import partial

import hypothesis.strategies as st
import pytest
import requests
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from werkzeug.test import run_wsgi_app

from shopkit.database import now
from shopkit.events import outbox

pytestmark = pytest.mark.timeout(600)

ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}
CARDS = {
    "succeeds": "4242424242424242",
    "card_declined": "4000000000000002",
    "insufficient_funds": "4000000000009995",
    "timeout_charged": "4000000000005043",
    "timeout_not_charged": "4000000000004087",
}
AUTH, PROFILES, PRODUCTS, CARTS, ORDERS, SUPPORT = range(5001, 5007)
PARTNERS = (PROFILES, PRODUCTS, PRODUCTS, CARTS, ORDERS)
PRODUCT_IDS = (1, 2)
STATUSES = ("pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "failed")
STOCK = 5
ALMOST_ALL_CARDS_WORK = st.sampled_from(["succeeds"] * 4 + list(CARDS))
WHICH = st.integers(0, 3)


class GoingAway:
    """An app that answers a few more requests; from then on it does nothing, or does it and the answer is lost."""

    def __init__(self, app, requests_left, answers_are_lost):
        self.app, self._left, self._answers_are_lost = app, requests_left, answers_are_lost

    def __call__(self, environ, start_response):
        if self._left > 0:
            self._left -= 1
            return self.app(environ, start_response)
        if self._answers_are_lost:
            run_wsgi_app(self.app, environ, buffered=True)
            raise requests.ReadTimeout("no answer")
        raise requests.ConnectionError("nobody is there")


class Shopping(RuleBasedStateMachine):
    """One customer and the staff. The shop is the same in all runs; each begins with the same shelves and one order."""

    def __init__(self, shop, new_gateway, customer, admin, cards, modules, contradictions):
        super().__init__()
        # One of its own: that of the last run may still leave alone what failed then.
        customer.gateway = admin.gateway = new_gateway()
        self.apps, self.customer, self.admin, self.cards = shop.wiring.apps, customer, admin, cards
        self.modules, self.contradictions = modules, contradictions
        self.real_apps = dict(self.apps)
        self.moment = now()
        self.orders = []
        self.customer("DELETE", "/cart")
        for product_id in PRODUCT_IDS:
            product = f"/products/{product_id}"
            missing = STOCK - self.admin("PUT", product, {"price": 10}).json["stock"]
            self.admin(
                "POST", f"{product}/stock", {"change": missing, "reason": "a new run"}
            )  # 0 is refused, and right
        self.buy(PRODUCT_IDS[0], "succeeds")

    def ask(self, who, *request):
        """Ask somebody who may be away, and who never says that there is a bug."""
        answer = who(*request)
        assert answer.status_code < 500 or answer.status_code in (502, 503, 504), answer.text
        return answer

    @rule(product_id=st.sampled_from(PRODUCT_IDS), quantity=st.integers(1, 4))
    def put_in_the_cart(self, product_id, quantity):
        self.ask(self.customer, "POST", "/cart/items", {"product_id": product_id, "quantity": quantity})

    @rule(which=WHICH, quantity=st.integers(1, 4))
    def change_the_quantity(self, which, quantity):
        for item in self.in_the_cart()[which : which + 1]:
            self.ask(self.customer, "PUT", f"/cart/items/{item['id']}", {"quantity": quantity})

    @rule(which=WHICH)
    def take_out_of_the_cart(self, which):
        for item in self.in_the_cart()[which : which + 1]:
            self.ask(self.customer, "DELETE", f"/cart/items/{item['id']}")

    @rule(product_id=st.sampled_from(PRODUCT_IDS), price=st.integers(100, 3000))
    def change_the_price(self, product_id, price):
        self.ask(self.admin, "PUT", f"/products/{product_id}", {"price": price / 100})

    @rule(product_id=st.sampled_from(PRODUCT_IDS), change=st.integers(-3, 5).filter(bool))
    def adjust_the_stock(self, product_id, change):
        self.ask(self.admin, "POST", f"/products/{product_id}/stock", {"change": change, "reason": "counted"})

    @rule(product_id=st.sampled_from(PRODUCT_IDS), card=ALMOST_ALL_CARDS_WORK)
    def buy(self, product_id, card):
        self.put_in_the_cart(product_id, 1)
        self.check_out(card)

    @rule(card=ALMOST_ALL_CARDS_WORK)
    def check_out(self, card):
        total = self.ask(self.customer, "GET", "/cart").json.get("total", 0)
        self.check_out_for(total, card)

    @rule(card=ALMOST_ALL_CARDS_WORK)
    def check_out_at_another_total(self, card):
        assert self.check_out_for(0.01, card).status_code != 201

    @rule(which=WHICH)
    def cancel(self, which):
        for order_id in self.orders[which : which + 1]:
            self.ask(self.customer, "DELETE", f"/orders/{order_id}/cancel")

    @rule(which=WHICH, status=st.sampled_from(STATUSES))
    def staff_moves_on(self, which, status):
        for order_id in self.orders[which : which + 1]:
            self.ask(self.admin, "PUT", f"/orders/{order_id}", {"status": status})

    @rule(port=st.sampled_from(PARTNERS), after=st.integers(0, 4), lost=st.booleans())
    def a_service_goes_away(self, port, after, lost):
        self.apps[port] = GoingAway(self.real_apps[port], after, lost)

    @rule(after=st.integers(4, 24), lost=st.booleans())
    def who_knows_everybody_goes_away(self, after, lost):
        self.apps[AUTH] = GoingAway(self.real_apps[AUTH], after, lost)

    @rule(port=st.sampled_from(PARTNERS), after=st.integers(0, 4), lost=st.booleans(), card=ALMOST_ALL_CARDS_WORK)
    def a_service_goes_away_in_the_middle_of_a_checkout(self, port, after, lost, card):
        self.all_services_come_back()
        self.put_in_the_cart(PRODUCT_IDS[0], 1)
        total = self.customer("GET", "/cart").json["total"]
        self.a_service_goes_away(port, after, lost)
        self.check_out_for(total, card)

    @rule(card=ALMOST_ALL_CARDS_WORK, lost=st.booleans())
    def what_is_held_expires_in_the_middle_of_a_checkout(self, card, lost):
        self.a_service_goes_away_in_the_middle_of_a_checkout(PRODUCTS, 2, lost, card)  # cart and reservation
        self.all_services_come_back()
        self.what_is_held_expires()

    @rule(which=WHICH, after=st.integers(0, 1), lost=st.booleans())
    def the_stock_goes_away_in_the_middle_of_a_cancellation(self, which, after, lost):
        self.all_services_come_back()
        self.a_service_goes_away(PRODUCTS, after, lost)
        self.cancel(which)

    @rule()
    def all_services_come_back(self):
        self.apps.update(self.real_apps)

    @rule()
    def an_interrupted_order_is_recovered(self):
        app, models = self.real_apps[ORDERS], self.modules[ORDERS]
        with app.app_context():
            models.db.session.execute(sa.update(models.Order).values(leased_until=now() - timedelta(seconds=1)))
            models.db.session.commit()
            app.extensions["settlement"].recover()

    @rule()
    def what_is_held_expires(self):
        reservations = self.modules["reservations"]
        with self.real_apps[PRODUCTS].app_context():
            past = now() - timedelta(seconds=1)
            reservations.db.session.execute(sa.update(reservations.Reservation).values(expires_at=past))
            reservations.db.session.commit()
            reservations.sweep()

    @rule()
    def events_are_relayed(self):
        self.moment += timedelta(days=1)  # nothing has to wait for its next attempt
        for port in (AUTH, PRODUCTS, ORDERS):
            with self.real_apps[port].app_context():
                outbox.relay(self.real_apps[port].extensions["event_transport"], lambda: self.moment)

    @invariant()
    def columns_and_ledger_of_the_stock_agree(self):
        with self.real_apps[PRODUCTS].app_context():
            assert self.modules["reconciliation"].wrong_products() == []

    def teardown(self):
        self.all_services_come_back()
        self.an_interrupted_order_is_recovered()
        self.events_are_relayed()
        assert self.contradictions() == []

    def in_the_cart(self):
        return self.ask(self.customer, "GET", "/cart").json.get("items", [])

    def check_out_for(self, total, card):
        body = {"payment_method_id": self.cards[card], "shipping_address": ADDRESS, "expected_total": total}
        answer = self.ask(self.customer, "POST", "/orders", body)
        if answer.status_code == 201:
            assert answer.json["total_amount"] == total
            self.orders.append(answer.json["id"])
        return answer


@pytest.fixture
def modules(running_from):
    """What the machine needs of the services' own modules."""
    with running_from("services/order-service"):
        from orders import models

        found = {ORDERS: models}
    with running_from("services/product-service"):
        from stock import reconciliation, reservations

        found.update({"reconciliation": reconciliation, "reservations": reservations})
    return found


@pytest.fixture
def customer(shop, new_shop):
    customer = new_shop()
    customer("POST", "/register", {"username": "carol", "email": "carol@example.com", "password": "correct horse"})
    customer.sign_in("carol", "correct horse")
    return customer


@pytest.fixture
def cards(customer):
    """Every test card, by what it does."""
    usual = {"exp_month": 12, "exp_year": 2035, "cvc": "123", "cardholder_name": "Carol"}
    return {
        does: customer("POST", "/payment-methods", {**usual, "card_number": number}).json["id"]
        for does, number in CARDS.items()
    }


@pytest.fixture
def admin(shop, new_shop):
    admin = new_shop()
    admin.sign_in("admin")
    return admin


def test_nothing_that_can_happen_to_a_shop_makes_it_lie(
    shop, make_app, customer, admin, cards, modules, shop_rows, contradictions
):
    def new_gateway():
        return make_app("api-gateway", shop.wiring).test_client()

    new_run = partial(Shopping, shop, new_gateway, customer, admin, cards, modules, partial(contradictions, shop_rows))

    run_state_machine_as_test(
        new_run,
        settings=settings(
            max_examples=60,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
