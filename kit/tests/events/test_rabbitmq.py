"""Through a real broker (TEST_AMQP_URL says which), on queues of a test's own."""

import os
import select
import socket
import socketserver
import threading
import uuid
from contextlib import contextmanager, suppress
from functools import partial

import kombu
import pytest

from shop_events import OrderCancelled, UserRegistered
from shopkit import events
from shopkit.errors import UpstreamFailed
from shopkit.events import Subscription, inbox, outbox, rabbitmq
from shopkit.events.types import Message
from shopkit.service import create_service

URL = os.environ.get("TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
NOWHERE = "amqp://guest:guest@127.0.0.1:1//"


def _why_not():
    try:
        with kombu.Connection(URL, connect_timeout=2) as connection:
            connection.connect()
    except OSError as error:
        return f"no RabbitMQ at {URL}: {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


@pytest.fixture
def queue():
    """The name of a service whose queues are gone after the test."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    with kombu.Connection(URL) as connection, connection.channel() as channel:
        channel.queue_delete(f"{name}.events")
        channel.queue_delete(f"{name}.events.dead")


@pytest.fixture
def listening(queue):
    """Listen, as the job does, until the test ends: `listening(receive)`."""
    stopping, threads, waits = threading.Event(), [], []

    def work(url, receive):
        while not stopping.is_set():
            rabbitmq.listen(url, queue, receive, stopping, waits.append)

    def listening(receive, url=URL):
        threads.append(threading.Thread(target=work, args=(url, receive)))
        threads[-1].start()
        return waits

    yield listening
    stopping.set()
    for each in threads:
        each.join()


@pytest.fixture
def put(queue):
    """Put something in the queue."""

    def put(body):
        with kombu.Connection(URL) as connection:
            rabbitmq._put(connection, queue, body)

    return put


class Line:
    """The way to the broker, which can be cut and mended."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._here = free.getsockname()
        broker = kombu.Connection(URL)
        self._there = broker.hostname, broker.port or 5672
        self.url = f"amqp://{broker.userid}:{broker.password}@127.0.0.1:{self._here[1]}/{broker.virtual_host}"
        self.mend()

    def mend(self):
        line, self._is_cut = self, threading.Event()

        class Forward(socketserver.BaseRequestHandler):
            def handle(self):
                line._forward(self.request)

        self._server = socketserver.ThreadingTCPServer(self._here, Forward, bind_and_activate=False)
        self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def cut(self):
        """Nobody gets through, and who was is cut off."""
        self._is_cut.set()
        self._server.shutdown()
        self._server.server_close()  # waits for those who were
        self._thread.join()

    def _forward(self, client):
        with suppress(OSError), socket.create_connection(self._there) as broker:
            other = {client: broker, broker: client}
            while not self._is_cut.is_set():
                for end in select.select(other, [], [], 0.02)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    other[end].sendall(data)


@pytest.fixture
def line():
    line = Line()
    yield line
    line.cut()


class Ear:
    """Receives events; `heard.wait()` until there are as many as expected."""

    def __init__(self, expected=1, failing=()):
        self.events, self.calls, self.expected = [], 0, expected
        self.failing = list(failing)
        self.heard = threading.Event()

    def __call__(self, event):
        self.calls += 1
        if self.failing and self.failing.pop(0):
            raise ZeroDivisionError("a bug")
        self.events.append(event)
        if len(self.events) == self.expected:
            self.heard.set()


def dead_letters_of(queue, count):
    """The dead letters' bodies, as soon as there are so many."""
    for _ in range(100):
        with rabbitmq.dead_letters(URL, queue) as dead:
            bodies = [message.body for message, _ in dead]
        if len(bodies) >= count:
            return bodies
        threading.Event().wait(0.05)
    return []


def test_an_event_goes_through_the_broker_and_stays_the_same(queue, listening, event):
    sent, ear = Message.model_validate(event()), Ear()

    with rabbitmq.sending(URL) as send:
        send(queue, sent)
    listening(ear)

    assert ear.heard.wait(10)
    assert ear.events == [sent]


def test_it_waits_for_who_is_not_there_yet(queue, event):
    with rabbitmq.sending(URL) as send:
        send(queue, Message.model_validate(event()))

    with kombu.Connection(URL) as connection, connection.channel() as channel:
        declared = channel.queue_declare(f"{queue}.events", passive=True)

    assert declared.message_count == 1


def test_what_the_broker_does_not_take_is_tried_again_later(event):
    with rabbitmq.sending(NOWHERE) as send, pytest.raises(UpstreamFailed, match="RabbitMQ did not take the event"):
        send("anybody", Message.model_validate(event()))


def test_a_queue_that_the_broker_refuses_is_a_failure_too(queue, event):
    with kombu.Connection(URL) as connection, connection.channel() as channel:
        channel.queue_declare(f"{queue}.events", durable=True, auto_delete=False)  # not a quorum queue

    with rabbitmq.sending(URL) as send, pytest.raises(UpstreamFailed, match="PreconditionFailed"):
        send(queue, Message.model_validate(event()))


def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost(queue, listening, event, monkeypatch):
    connections, ear = [], Ear(expected=2)
    connect = rabbitmq._connection

    def connecting(url, **options):
        connections.append(connect(url, **options))
        return connections[-1]

    monkeypatch.setattr(rabbitmq, "_connection", connecting)
    with rabbitmq.sending(URL) as send:
        send(queue, Message.model_validate(event(5)))
        listening(ear)
        while not ear.events:
            threading.Event().wait(0.05)
        for each in list(connections):
            each.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(UpstreamFailed):
            send(queue, Message.model_validate(event(6)))
    with rabbitmq.sending(URL) as send:
        send(queue, Message.model_validate(event(6)))

    assert ear.heard.wait(10)
    assert [each.payload["user_id"] for each in ear.events] == [5, 6]


def test_what_was_not_acknowledged_comes_again(queue, listening, event, hearer, effects):
    """The effect is committed and the process is killed before it can say so."""
    committed = threading.Event()
    receive = partial(inbox.receive_in, hearer)

    def receive_and_die(received):
        receive(received)
        if not committed.is_set():
            committed.set()
            raise ConnectionResetError("the process is gone, and its connection with it")

    with rabbitmq.sending(URL) as send:
        send(queue, Message.model_validate(event(5)))
        waits = listening(receive_and_die)
        send(queue, Message.model_validate(event(6, str(uuid.uuid4()))))
    while effects() != [5, 6]:
        threading.Event().wait(0.05)

    assert waits == [1]


def test_what_fails_for_a_moment_is_handled_in_the_end(queue, listening, event, put):
    ear = Ear(failing=[True, True, True, False])

    put(Message.model_validate(event()).model_dump_json())
    waits = listening(ear)

    assert ear.heard.wait(10)
    assert waits == [1, 2, 4]


def test_what_always_fails_becomes_a_dead_letter_and_the_others_are_handled(queue, listening, event, put):
    ear = Ear(failing=[True] * 6)

    put(Message.model_validate(event(13)).model_dump_json())
    waits = listening(ear)
    [dead] = dead_letters_of(queue, 1)
    put(Message.model_validate(event(5)).model_dump_json())

    assert ear.heard.wait(10)
    assert waits == [1, 2, 4, 8, 16, 32]
    assert Message.model_validate_json(dead).payload["user_id"] == 13
    assert [each.payload["user_id"] for each in ear.events] == [5]


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"id": 5}'])
def test_what_is_no_event_becomes_a_dead_letter_at_once(queue, listening, put, body):
    ear = Ear()

    put(body)
    listening(ear)

    assert dead_letters_of(queue, 1) in ([body], [body.encode()])
    assert ear.calls == 0


def test_what_fits_no_schema_becomes_a_dead_letter_at_once(queue, listening, put, event, hearer):
    put(Message.model_validate(event(password="secret")).model_dump_json())

    waits = listening(partial(inbox.receive_in, hearer))

    assert len(dead_letters_of(queue, 1)) == 1
    assert waits == []


def test_the_relay_uses_the_broker_if_there_is_one(settings, network, partners, teller, publish, rows, monkeypatch):
    app = create_service(__name__, "order-service", settings, apis=[], db=teller.extensions["sqlalchemy"])
    events.init_app(app, NOWHERE, publish_to=partners)
    event_id = publish()
    sent = []
    monkeypatch.setattr(rabbitmq, "_put", lambda connection, target, body: sent.append((target, body)))

    with app.app_context():
        events.relay()
        teller.extensions["sqlalchemy"].engine.dispose()

    assert sorted(target for target, _ in sent) == sorted(OrderCancelled.subscribers)
    assert {str(Message.model_validate_json(body).id) for _, body in sent} == {event_id}
    assert network.calls == []


def test_who_hears_listens_beside_its_requests(settings, network, monkeypatch):
    app = create_service(__name__, "profile-service", settings, apis=[], adapter=network)
    events.init_app(app, URL, subscriptions=[Subscription("prints", print, [UserRegistered])])
    listened = []
    monkeypatch.setattr(rabbitmq, "listen", lambda url, name, *_: listened.append((url, name)))

    [listen] = [job.run for job in app.extensions["jobs"] if job.run.__name__ == "listen"]
    listen()

    assert listened == [(URL, "profile-service")]


def test_dead_letters_can_be_put_back(queue, listening, event, put):
    put("no event")
    waits = listening(Ear())
    assert dead_letters_of(queue, 1)

    with rabbitmq.dead_letters(URL, queue) as dead:
        for _, redrive in dead:
            redrive()

    assert len(dead_letters_of(queue, 1)) == 1  # it is no event the second time either
    assert waits == []


def test_what_is_told_while_the_broker_is_away_arrives_once_when_it_is_back(
    line, queue, listening, publish, clock, rows
):
    @contextmanager
    def through_the_line():
        """To a queue of this test's own; what is for others is taken as said."""
        with rabbitmq.sending(line.url) as send:
            yield lambda target, event: send(queue, event) if target == "product-service" else None

    relay = partial(outbox.relay, through_the_line, clock)
    ear = Ear(expected=2)
    waits = listening(ear, line.url)
    before = publish(1)
    clock.go_on(minutes=1)
    relay()
    while not ear.events:
        threading.Event().wait(0.05)

    line.cut()
    meanwhile = publish(2)
    relay()
    [waiting] = rows(id=meanwhile, target="product-service")
    line.mend()
    relay()  # it is not yet time to try again
    [still_waiting] = rows(id=meanwhile, target="product-service")
    clock.go_on(minutes=1)
    relay()
    relay()

    assert (waiting.attempts, waiting.delivered_at) == (1, None)
    assert "RabbitMQ did not take the event" in waiting.last_error
    assert still_waiting == waiting
    assert ear.heard.wait(10)
    assert [str(event.id) for event in ear.events] == [before, meanwhile]
    assert [row.delivered_at for row in rows()].count(None) == 0
    assert (ear.calls, waits) == (2, [])
