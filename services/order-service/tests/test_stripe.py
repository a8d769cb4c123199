"""Stripe's own: against localstripe where that will do, and against the words of Stripe's reference where it will not.

localstripe keeps no idempotency keys, gives no decline codes, is never busy and does not tell of refunds.
"""

import json
import logging
import threading
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from requests.adapters import BaseAdapter, HTTPAdapter
from stripe import WebhookSignature
from werkzeug.serving import make_server

from app import create_app
from models import db
from orders.models import Order
from orders.states import OrderStatus
from payments import provider, webhook_routes
from payments.choice import choose_provider
from payments.models import StripeEvent, StripePayment
from payments.provider import Payment
from payments.webhook_routes import webhooks
from shopkit import errors
from shopkit.database import now
from shopkit.service import create_service
from shopkit.testing import refuse_open_transaction

SECRET = "whsec_of_the_tests"
KEY = "sk_test_of_the_tests"
ASK_FIRST = "4000002500003155"
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 5099,
    "currency": "usd",
    "status": "requires_confirmation",
    "last_payment_error": None,
    "latest_charge": None,
}
CHARGE = {"id": "ch_1", "object": "charge", "refunded": False}
SUCCEEDED = {**INTENT, "status": "succeeded", "latest_charge": CHARGE}
RETRIEVE, CREATE = ("GET", "/v1/payment_intents/pi_1"), ("POST", "/v1/payment_intents")
CONFIRM, CANCEL = ("POST", "/v1/payment_intents/pi_1/confirm"), ("POST", "/v1/payment_intents/pi_1/cancel")
REFUND = ("POST", "/v1/refunds")


def _payment(card="pm_card_visa"):
    return Payment(uuid.uuid4(), card, 5099, "USD")


def _raises(name):
    return pytest.raises(getattr(provider, name, None) or getattr(errors, name))


@pytest.fixture
def settings(settings):
    return replace(settings, stripe_api_key=KEY, stripe_webhook_secret=SECRET)


class Line(HTTPAdapter):
    """The line to localstripe, which can be cut on the way there (`deaf`) or back (`mute`), for paths that end so."""

    deaf = mute = "nothing"

    def __init__(self):
        super().__init__()
        self.keys = []

    def send(self, request, *args, **kwargs):
        refuse_open_transaction()
        if request.path_url.endswith(self.deaf):
            raise requests.ConnectionError("cut")
        answer = super().send(request, *args, **kwargs)
        self.keys.append((request.path_url, request.headers.get("Idempotency-Key")))
        if request.path_url.endswith(self.mute):
            answer.close()
            raise requests.ReadTimeout("cut")
        return answer


class TestLocalstripe:
    @pytest.fixture
    def line(self):
        return Line()

    @pytest.fixture
    def stripe(self, app, settings, localstripe, line):
        requests.delete(f"{localstripe}/_config/data", timeout=5).raise_for_status()
        with app.app_context():
            yield choose_provider(replace(settings, stripe_api_base=localstripe), line)

    @pytest.fixture
    def ask(self, localstripe):
        def ask(method, path, **fields):
            return requests.request(method, localstripe + path, data=fields, auth=(KEY, ""), timeout=5).json()

        return ask

    @pytest.fixture
    def taken(self, ask):
        """All that was charged for an order: one amount for each charge at Stripe."""

        def taken(key):
            intents = [each for each in ask("GET", "/v1/payment_intents")["data"] if each["metadata"]["order"] == key]
            charges = [each["latest_charge"] for each in intents if each["latest_charge"]]
            return [each["amount"] - each["amount_refunded"] for each in charges if each["paid"]]

        return lambda payment: taken(str(payment.key))

    def test_each_step_has_an_idempotency_key_made_of_ours(self, stripe, line):
        payment = _payment()

        charge = stripe.charge(payment)
        stripe.refund(payment.key)

        keys = [key for path, key in line.keys if not path.startswith("/v1/payment_methods") and "expand" not in path]
        assert keys == [f"{payment.key}", f"confirm-{payment.key}", f"refund-{payment.key}"]
        assert charge.id.startswith("pi_")

    @pytest.mark.parametrize("step", ["payment_methods/pm_card_visa", "payment_intents", "confirm"])
    @pytest.mark.parametrize("cut", ["deaf", "mute"])
    def test_whatever_answer_is_lost_the_repetition_charges_once(self, stripe, line, taken, step, cut):
        payment = _payment()
        setattr(line, cut, step)
        with _raises("PaymentUnknown"):
            stripe.charge(payment)
        setattr(line, cut, "nothing")

        stripe.charge(payment)

        assert taken(payment) == [5099]

    @pytest.mark.parametrize("step", ["payment_methods/pm_card_visa", "payment_intents", "confirm"])
    @pytest.mark.parametrize("cut", ["deaf", "mute"])
    def test_whatever_answer_is_lost_voiding_tells_whether_it_was_charged(self, stripe, line, taken, step, cut):
        payment = _payment()
        setattr(line, cut, step)
        with _raises("PaymentUnknown"):
            stripe.charge(payment)
        setattr(line, cut, "nothing")

        charge = stripe.void(payment.key)

        assert taken(payment) == ([5099] if charge else [])
        assert (charge is not None) == ((step, cut) == ("confirm", "mute"))
        if charge is None:
            with _raises("PaymentDeclined"):
                stripe.charge(payment)
            assert taken(payment) == []

    @pytest.mark.parametrize("cut", ["deaf", "mute"])
    def test_whatever_answer_is_lost_the_money_is_given_back_once(self, stripe, line, taken, cut):
        payment = _payment()
        stripe.charge(payment)
        setattr(line, cut, "refunds")
        with _raises("PaymentUnknown"):
            stripe.refund(payment.key)
        setattr(line, cut, "nothing")

        stripe.refund(payment.key)

        assert taken(payment) == [0]
        assert stripe.find(payment.key).refunded

    def test_a_card_whose_bank_asks_first_is_declined_and_the_payment_cancelled(self, stripe, ask):
        card = {"card[number]": ASK_FIRST, "card[exp_month]": 12, "card[exp_year]": 2035, "card[cvc]": "123"}
        payment = _payment(ask("POST", "/v1/payment_methods", type="card", **card)["id"])

        with _raises("PaymentDeclined") as raised:
            stripe.charge(payment)

        assert raised.value.code == "authentication_required"
        assert stripe.void(payment.key) is None
        mine = [each for each in ask("GET", "/v1/payment_intents")["data"] if each["payment_method"] == payment.token]
        assert [each["status"] for each in mine] == ["canceled"]

    def test_a_card_that_is_kept_for_a_customer_is_used_with_that_customer(self, stripe, ask):
        customer = ask("POST", "/v1/customers")["id"]
        card = {"card[number]": "4242424242424242", "card[exp_month]": 12, "card[exp_year]": 2035, "card[cvc]": "123"}
        method = ask("POST", "/v1/payment_methods", type="card", **card)["id"]
        ask("POST", f"/v1/payment_methods/{method}/attach", customer=customer)

        charge = stripe.charge(_payment(method))

        assert ask("GET", f"/v1/payment_intents/{charge.id}")["customer"] == customer

    def test_signed_events_arrive_and_tell_of_payments(self, app, stripe, ask, localstripe):
        def recorded():
            types = db.session.scalars(sa.select(StripeEvent.type)).all()
            db.session.rollback()
            return types

        server = make_server("127.0.0.1", 0, app, threaded=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        hook = {"url": f"http://127.0.0.1:{server.port}/webhooks/stripe", "secret": SECRET}
        requests.post(f"{localstripe}/_config/webhooks/test", json=hook, timeout=5).raise_for_status()
        try:
            stripe.charge(_payment())
            types = _soon(recorded)
        finally:
            requests.post(
                f"{localstripe}/_config/webhooks/test", json={**hook, "events": ["none"]}, timeout=5
            ).raise_for_status()
            server.shutdown()
            serving.join()
            server.server_close()

        assert types == ["payment_intent.succeeded"]

    def test_a_cart_is_bought_and_the_order_cancelled(self, settings, localstripe, card, others, database_uri):
        class Both(BaseAdapter):
            def send(self, request, *args, **kwargs):
                to_stripe = request.url.startswith(localstripe)
                return (HTTPAdapter() if to_stripe else others).send(request, *args, **kwargs)

            def close(self):
                pass

        card("pm_card_visa")
        app = create_app(replace(settings, stripe_api_base=localstripe), Both())
        with app.app_context():
            db.create_all()
        headers = {"Authorization": "Bearer alice"}
        address = {"address_line1": "12 Orchard Lane", "city": "Portland", "postal_code": "97201", "country": "US"}
        wanted = {"payment_method_id": 1, "shipping_address": address}

        placed = app.test_client().post("/orders", json=wanted, headers=headers)
        cancelled = app.test_client().post(f"/orders/{placed.json['id']}/cancel", headers=headers)

        with app.app_context():
            db.engine.dispose()
        assert (placed.status_code, placed.json["payment_status"]) == (201, "paid")
        assert placed.json["payment"]["reference"].startswith("pi_")
        assert (cancelled.json["status"], cancelled.json["payment_status"]) == ("cancelled", "refunded")


def _soon(ask):
    """What is true within some seconds; localstripe waits for one before it sends an event."""
    for _ in range(100):
        if found := ask():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


class TestWordsOfStripe:
    """What localstripe never says."""

    @pytest.fixture
    def network(self, network):
        network.on(
            "GET", "/v1/payment_methods/pm_card_visa", {"id": "pm_1", "object": "payment_method", "customer": None}
        )
        network.on(*CREATE, INTENT)
        network.on(*CONFIRM, SUCCEEDED)
        network.on(*RETRIEVE, SUCCEEDED)
        network.on(*REFUND, {"id": "re_1", "object": "refund", "status": "succeeded"})
        return network

    @pytest.fixture
    def stripe(self, app):
        with app.app_context():
            yield app.extensions["payment_provider"]

    def test_the_demonstration_is_not_paid(self, seeded, network):
        assert network.calls == []

    def test_an_intent_says_what_it_is_for(self, stripe, network):
        payment = _payment()

        stripe.charge(payment)

        sent = next(each for each in network.requests if each.path_url == "/v1/payment_intents")
        assert parse_qs(sent.body) == {
            "amount": ["5099"],
            "currency": ["usd"],
            "payment_method": ["pm_card_visa"],
            "payment_method_types[0]": ["card"],
            "metadata[order]": [str(payment.key)],
        }
        assert urlsplit(sent.url).hostname == "api.stripe.com"
        assert sent.headers["Authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ({"code": "card_declined", "decline_code": "insufficient_funds"}, "insufficient_funds"),
            ({"code": "expired_card"}, "expired_card"),
            ({"code": "card_declined", "decline_code": "authentication_required"}, "authentication_required"),
            ({"code": "card_declined", "decline_code": "stolen_card"}, "card_declined"),
            ({"code": "card_declined"}, "card_declined"),
        ],
    )
    def test_the_buyer_is_told_why_unless_it_is_the_banks_business(self, stripe, network, said, code):
        network.on(*CONFIRM, {"error": {"type": "card_error", "message": "Your card …", **said}}, 402)
        network.on(*RETRIEVE, {**INTENT, "status": "requires_payment_method", "last_payment_error": said})

        with _raises("PaymentDeclined") as raised:
            stripe.charge(payment := _payment())

        assert (raised.value.code, stripe.find(payment.key).declined) == (code, code)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (500, "PaymentUnknown"),
            (503, "PaymentUnknown"),
            (409, "PaymentUnknown"),
            (401, "UpstreamFailed"),
            (403, "UpstreamFailed"),
            (429, "UpstreamFailed"),
        ],
    )
    @pytest.mark.parametrize("step", [CREATE, CONFIRM])
    def test_what_stripe_refuses_and_what_it_leaves_open(self, stripe, network, step, status, error, caplog):
        network.on(*step, {"error": {"type": "api_error", "message": f"Not with the key {KEY}"}}, status)

        with caplog.at_level(logging.INFO), _raises(error) as raised:
            stripe.charge(_payment())

        assert KEY not in str(raised.getrepr(chain=True))
        assert KEY not in caplog.text

    def test_what_is_not_of_stripes_making_leaves_it_open(self, stripe, network):
        network.on(*CONFIRM, "a proxy's page", 502)

        with _raises("PaymentUnknown"):
            stripe.charge(_payment())

    def test_an_intent_that_cannot_be_confirmed_is_not_taken(self, stripe, network):
        network.on(*CONFIRM, {"error": {"type": "invalid_request_error", "message": "No."}}, 400)
        network.on(*RETRIEVE, INTENT)

        with _raises("UpstreamFailed"):
            stripe.charge(_payment())

    def test_a_payment_that_was_voided_while_it_was_confirmed_is_declined(self, stripe, network):
        network.on(*CONFIRM, {"error": {"type": "invalid_request_error", "message": "Unexpected state."}}, 400)
        network.on(*RETRIEVE, {**INTENT, "status": "canceled"})

        with _raises("PaymentDeclined") as raised:
            stripe.charge(_payment())

        assert raised.value.code == "voided"

    def test_a_payment_that_was_voided_while_its_intent_was_made_is_not_confirmed(self, stripe, network):
        payment = _payment()

        def create(request):
            assert stripe.void(payment.key) is None
            return 200, INTENT

        network.on(*CREATE, answer=create)

        with _raises("PaymentDeclined"):
            stripe.charge(payment)

        assert CONFIRM not in network.calls

    def test_while_stripe_has_not_decided_nobody_guesses(self, stripe, network):
        processing = {**INTENT, "status": "processing"}
        network.on(*CONFIRM, processing)
        network.on(*RETRIEVE, processing)
        network.on(*CANCEL, {"error": {"type": "invalid_request_error", "message": "Too late."}}, 400)
        payment = _payment()

        with _raises("PaymentUnknown"):
            stripe.charge(payment)
        for ask in (stripe.find, stripe.void, stripe.refund):
            with _raises("PaymentUnknown"):
                ask(payment.key)

        assert REFUND not in network.calls

    def test_a_payment_that_succeeds_while_it_is_voided_is_found(self, stripe, network):
        network.down(*CONFIRM, requests.ReadTimeout)
        with _raises("PaymentUnknown"):
            stripe.charge(payment := _payment())
        answers = iter([INTENT, SUCCEEDED])
        network.on(*RETRIEVE, answer=lambda _: (200, next(answers)))
        network.on(*CANCEL, {"error": {"type": "invalid_request_error", "message": "Unexpected state."}}, 400)

        assert stripe.void(payment.key).id == "pi_1"

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (400, "charge_already_refunded", None),
            (400, "charge_disputed", "UpstreamFailed"),
            (500, "", "PaymentUnknown"),
        ],
    )
    def test_what_is_given_back_already_need_not_be_given_back(self, stripe, network, status, code, error):
        stripe.charge(payment := _payment())
        network.on(*REFUND, {"error": {"type": "invalid_request_error", "code": code, "message": "No."}}, status)

        if error is None:
            stripe.refund(payment.key)
        else:
            with _raises(error):
                stripe.refund(payment.key)


class TestWebhook:
    SUBJECTS = {
        "payment_intent.succeeded": SUCCEEDED,
        "payment_intent.payment_failed": INTENT,
        "charge.refunded": {**CHARGE, "payment_intent": "pi_1"},
    }

    @pytest.fixture
    def key(self, app):
        """The payment whose intent is `pi_1`."""

        with app.app_context():
            db.session.add(payment := StripePayment(key=uuid.uuid4(), intent="pi_1"))
            db.session.commit()
            return payment.key

    @pytest.fixture
    def told(self):
        """What was handed on."""
        return []

    @pytest.fixture
    def hook(self, told):
        return Mock(side_effect=lambda key, kind: told.append((key, kind)))

    @pytest.fixture
    def send(self, app, settings, network, hook):
        """Send an event, signed as Stripe does it."""
        hooked = create_service("app", "order-service", settings, apis=[webhooks(SECRET, hook)], db=db, adapter=network)

        def send(kind, event_id="evt_1", secret=SECRET, age=0, **subject):
            subject = subject or self.SUBJECTS.get(kind, {"id": "cus_1", "object": "customer"})
            body = json.dumps({"id": event_id, "object": "event", "type": kind, "data": {"object": subject}})
            signature = WebhookSignature.generate_signature_header(body, secret, int(time.time()) - age)
            headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
            return hooked.test_client().post("/webhooks/stripe", data=body, headers=headers)

        yield send
        with hooked.app_context():
            db.engine.dispose()

    @pytest.fixture
    def recorded(self, app):
        def recorded():
            with app.app_context():
                return [(each.id, each.type) for each in db.session.scalars(sa.select(StripeEvent))]

        return recorded

    @pytest.mark.parametrize("kind", SUBJECTS)
    def test_what_became_of_a_payment_is_handed_on_and_recorded(self, send, key, told, recorded, kind):
        assert send(kind).status_code == 200

        assert told == [(key, kind)]
        assert recorded() == [("evt_1", kind)]

    def test_an_event_that_comes_again_is_not_handed_on_again(self, send, key, told, recorded):
        for _ in range(2):
            assert send("payment_intent.succeeded").status_code == 200

        assert len(told) == len(recorded()) == 1

    def test_an_event_that_could_not_be_dealt_with_may_come_again(self, send, key, hook, recorded):
        hook.side_effect = [errors.Unavailable("Not now."), None]

        assert send("payment_intent.succeeded").status_code == 503
        assert recorded() == []
        assert send("payment_intent.succeeded").status_code == 200
        assert len(recorded()) == 1

    def test_of_two_that_come_at_once_both_are_answered(self, send, key, recorded, monkeypatch):
        send("payment_intent.succeeded")
        monkeypatch.setattr(webhook_routes, "_is_known", lambda _: False)  # looked just before the first was recorded

        assert send("payment_intent.succeeded").status_code == 200
        assert len(recorded()) == 1

    def test_other_events_are_taken_and_left(self, send, told, recorded):
        assert send("customer.created").status_code == 200

        assert told == recorded() == []

    @pytest.mark.parametrize(
        ("kind", "subject"),
        [
            ("payment_intent.succeeded", {"id": "pi_of_another", "object": "payment_intent"}),
            ("charge.refunded", {"id": "ch_of_another", "object": "charge", "payment_intent": None}),
        ],
    )
    def test_the_payment_of_another_shop_on_the_same_account_is_left(self, send, app, key, told, kind, subject):
        with app.app_context():
            app.extensions["payment_provider"].void(uuid.uuid4())  # a payment without an intent

        assert send(kind, **subject).status_code == 200

        assert told == []

    @pytest.mark.parametrize("forged", [{"secret": "whsec_of_a_stranger"}, {"age": 301}])
    def test_what_stripe_has_not_signed_just_now_is_refused(self, send, told, recorded, forged):
        answer = send("payment_intent.succeeded", **forged)

        assert (answer.status_code, answer.json["code"]) == (400, "bad_signature")
        assert told == recorded() == []

    @pytest.mark.parametrize(
        "headers", [{}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=x,v1=y"}, {"Stripe-Signature": "t=1,v1=\xe9"}]
    )
    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff"])
    def test_what_is_not_signed_at_all_is_refused(self, client, headers, body):
        answer = client.post("/webhooks/stripe", data=body, headers=headers)

        assert (answer.status_code, answer.json["code"]) == (400, "bad_signature")

    def test_an_event_starts_the_recovery(self, app, seeded, network, key, client):
        with app.app_context():
            left = db.session.get(Order, 1)
            left.status, left.leased_until = OrderStatus.PENDING, now() - timedelta(seconds=1)
            db.session.commit()
        network.on("POST", "/token", status=503)  # to take it over is enough here
        event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": SUCCEEDED}}
        signature = WebhookSignature.generate_signature_header(json.dumps(event), SECRET)

        answer = client.post("/webhooks/stripe", data=json.dumps(event), headers={"Stripe-Signature": signature})

        assert answer.status_code == 200
        with app.app_context():
            assert db.session.get(Order, 1).leased_until > now(), "nobody took over what was left half-way"


def test_without_a_secret_there_is_no_webhook(settings, network):
    app = create_app(replace(settings, stripe_webhook_secret=""), network)

    assert app.test_client().post("/webhooks/stripe").status_code == 404
