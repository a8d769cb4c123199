import threading
from collections import Counter
from contextlib import contextmanager
from urllib.parse import urlsplit

import orjson
import pytest
import requests

from shop_events import OrderCancelled, UserRegistered
from shopkit import events, retention
from shopkit.database import now
from shopkit.errors import UpstreamFailed, UpstreamRefused
from shopkit.events import Subscription, outbox
from shopkit.http_client import ServiceClient
from shopkit.service import create_service

PATH = "/internal/events"
SUBSCRIBERS = sorted(OrderCancelled.subscribers)


class Postman:
    """A transport that brings events, or does not."""

    def __init__(self):
        self.brought = []
        self.tried = Counter()
        self.failing = {}

    @contextmanager
    def __call__(self):
        yield self.send

    def send(self, target, event):
        self.tried[target] += 1
        if error := self.failing.get(target) or self.failing.get(str(event.id)):
            raise error("no")
        self.brought.append((target, str(event.id)))

    def brought_to(self, target):
        return [event_id for who, event_id in self.brought if who == target]


@pytest.fixture
def postman():
    return Postman()


@pytest.fixture
def relay(postman, clock):
    """Send what is due at the clock's time; delays are not spread."""
    return lambda: outbox.relay(postman, clock, lambda _, most: most)


class TestPublishing:
    def test_an_event_is_a_row_for_each_subscriber(self, publish, rows, order):
        event_id = publish()

        assert [(row.id, row.target, row.name) for row in rows()] == [
            (event_id, target, "order.cancelled") for target in SUBSCRIBERS
        ]
        assert rows()[0].payload == order
        assert rows()[0].attempts == 0

    def test_without_the_fact_there_is_no_event(self, teller, rows, order_cancelled):
        events.publish(order_cancelled())
        teller.extensions["sqlalchemy"].session.rollback()

        assert rows() == []

    def test_nobody_publishes_for_others(self, teller):
        with pytest.raises(ValueError, match="for the auth-service to publish"):
            events.publish(UserRegistered(user_id=1, username="alice"))


class TestSending:
    def test_each_hears_it_once_with_our_token(self, publish, network, order):
        network.on("POST", PATH, status=204)
        event_id = publish()

        events.relay()
        events.relay()

        assert sorted(urlsplit(each.url).hostname for each in network.requests) == SUBSCRIBERS
        sent = orjson.loads(network.requests[0].body)
        assert (sent["id"], sent["name"], sent["payload"]) == (event_id, "order.cancelled", order)
        assert network.requests[0].headers["Authorization"] == "Bearer our token"

    def test_what_has_been_delivered_is_known(self, publish, relay, rows, clock):
        publish()

        relay()

        assert [(row.delivered_at, row.attempts, row.leased_until) for row in rows()] == [(clock(), 1, None)] * 2

    def test_the_oldest_come_first_however_many_there_are(self, publish, relay, postman):
        ids = [publish(order_id) for order_id in range(1, 61)]

        relay()

        assert postman.brought_to("product-service") == ids

    def test_who_is_down_is_told_later_and_the_others_are_not_told_again(self, publish, relay, postman, clock, rows):
        event_id = publish()
        postman.failing["product-service"] = UpstreamFailed
        relay()
        del postman.failing["product-service"]

        relay()
        before = postman.brought_to("product-service")
        clock.go_on(seconds=1)
        relay()

        assert before == []
        assert postman.brought_to("product-service") == [event_id]
        assert postman.brought_to("customer-support-service") == [event_id]
        assert [row.last_error for row in rows()] == [None, "no"]

    def test_delays_grow_and_are_spread(self, publish, postman, clock, rows):
        publish()
        postman.failing["product-service"] = UpstreamFailed
        spreads, delays = [], []

        def spread(least, most):
            spreads.append((least, most))
            return least

        for _ in range(9):
            outbox.relay(postman, clock, spread)
            [row] = rows(target="product-service")
            delays.append((row.next_attempt_at - clock()).total_seconds())
            clock.moment = row.next_attempt_at

        assert delays == [0.5, 1.5, 4.5, 13.5, 40.5, 121.5, 364.5, 1093.5, 1800]
        assert set(spreads) == {(0.5, 1)}

    def test_ten_failures_park_it(self, publish, relay, postman, clock, rows, caplog):
        event_id = publish()
        postman.failing["product-service"] = UpstreamFailed

        for _ in range(20):
            relay()
            clock.go_on(hours=1)

        assert postman.tried["product-service"] == 10
        [row] = outbox.parked()
        assert (row.id, row.target, row.attempts, row.last_error) == (event_id, "product-service", 10, "no")
        assert f"order.cancelled {event_id} is parked, product-service does not take it" in caplog.text

    def test_what_is_refused_is_parked_at_once_and_holds_up_nothing(self, publish, relay, postman, clock):
        refused, taken = publish(), publish()
        postman.failing[refused] = UpstreamRefused

        relay()

        assert [(row.id, row.attempts) for row in outbox.parked()] == [(refused, 1)] * 2
        assert postman.brought_to("product-service") == [taken]

    def test_a_422_is_a_refusal(self, publish, network):
        network.refuse("POST", PATH, 422, "It makes no sense.")
        publish()

        events.relay()

        assert {row.last_error for row in outbox.parked()} == {f"The {target} answered 422." for target in SUBSCRIBERS}

    @pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout])
    def test_one_who_does_not_answer_is_not_asked_for_every_event(self, publish, network, rows, error):
        network.down("POST", PATH, error)
        publish()
        publish()

        events.relay()

        assert len(network.calls) == 2
        assert sorted(row.attempts for row in rows()) == [0, 0, 1, 1]
        assert {row.leased_until for row in rows()} == {None}

    def test_what_is_parked_can_be_tried_again(self, publish, relay, postman, clock):
        ids = [publish(), publish()]
        postman.failing["product-service"] = UpstreamRefused
        relay()
        postman.failing.clear()

        assert outbox.redrive("no such id") == 0
        assert outbox.redrive(ids[0]) == 1
        clock.moment = now()
        relay()
        first = postman.brought_to("product-service")
        assert outbox.redrive() == 1
        clock.moment = now()
        relay()

        assert first == ids[:1]
        assert postman.brought_to("product-service") == ids
        assert outbox.parked() == []

    def test_what_was_delivered_long_ago_is_forgotten(self, publish, relay, rows, clock, postman, monkeypatch):
        postman.failing["product-service"] = UpstreamRefused
        monkeypatch.setattr(outbox, "now", clock)
        clock.go_on(days=-8)
        publish()
        relay()
        monkeypatch.undo()
        recent = publish()
        clock.moment = now()
        relay()

        retention.sweep()

        assert [row.id == recent for row in rows(target="customer-support-service")] == [True]
        assert len(rows(target="product-service")) == 2


class TestLeases:
    def test_what_somebody_has_claimed_is_left_to_them_until_their_lease_ends(self, publish, relay, postman, clock):
        publish()
        outbox._claim(clock())  # and who did so was killed

        relay()
        before = len(postman.brought)
        clock.go_on(seconds=60)
        relay()

        assert (before, len(postman.brought)) == (0, 2)

    @pytest.mark.parametrize("back", [{"minutes": 5}, {"days": 400}])
    def test_a_lease_from_before_the_clock_was_set_back_is_over(self, publish, relay, postman, clock, back):
        publish()
        outbox._claim(clock())  # and who did so was killed
        clock.go_on(**{unit: -amount for unit, amount in back.items()})

        relay()

        assert len(postman.brought) == 2

    @pytest.mark.parametrize("failures", [0, 1, 6, 9])
    def test_a_delay_from_before_the_clock_was_set_back_is_over(self, publish, relay, postman, clock, rows, failures):
        publish()
        postman.failing["product-service"] = UpstreamFailed
        for _ in range(failures):
            relay()
            clock.moment = rows(target="product-service")[0].next_attempt_at
        postman.failing.clear()
        clock.go_on(hours=-2)

        relay()

        assert len(postman.brought) == 2

    def test_whoever_needs_half_their_lease_puts_the_rest_back(self, publish, clock, rows):
        for _ in range(3):
            publish()
        slow = Postman()
        bring = slow.send

        def take_time(target, event):
            clock.go_on(seconds=outbox.LEASE.total_seconds() / 3)
            bring(target, event)

        slow.send = take_time
        outbox._send_some(slow, clock, lambda _, most: most)

        assert len(slow.brought) == 2
        assert [row.leased_until for row in rows(delivered_at=None)] == [None] * 4

    def test_a_failure_does_not_undo_what_somebody_else_delivered_meanwhile(self, publish, clock, rows, relay):
        event_id = publish()
        slow = Postman()

        def fail_late(target, event):
            clock.go_on(seconds=60)
            relay()
            raise UpstreamFailed("no")

        slow.send = fail_late
        outbox._send_some(slow, clock, lambda _, most: most)

        assert {(row.id, row.last_error) for row in rows()} == {(event_id, None)}
        assert all(row.delivered_at for row in rows())

    def test_several_at_once_deliver_each_event_once(self, teller, publish, postman, clock, rows):
        ids = [publish(order_id) for order_id in range(1, 81)]
        together = threading.Barrier(4)

        def work():
            with teller.app_context():
                together.wait()
                for _ in range(3):
                    outbox.relay(postman, clock)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        outbox.relay(postman, clock)

        assert sorted(postman.brought_to("product-service")) == sorted(ids)
        assert len(postman.brought) == 160
        assert rows(delivered_at=None) == []


class TestWiring:
    def test_who_publishes_runs_a_relay_and_cleans_up(self, teller):
        assert [(job.run.__name__, job.seconds) for job in teller.extensions["jobs"]] == [
            ("sweep", 600),
            ("relay", 0.5),
        ]

    def test_a_service_takes_part_as_the_events_declare(self, settings, network, partners):
        def new_app(name):
            return create_service(__name__, name, settings, apis=[], adapter=network)

        stranger = ServiceClient("profile-service", "http://127.0.0.1:5904", network)
        for name, part in [
            ("order-service", {}),
            ("order-service", {"publish_to": [*partners, stranger]}),
            ("profile-service", {}),
            ("profile-service", {"subscriptions": [Subscription("prints", print, [UserRegistered, OrderCancelled])]}),
        ]:
            with pytest.raises(ValueError, match=f"{name} publishes to others"):
                events.init_app(new_app(name), "", **part)
