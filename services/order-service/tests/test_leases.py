"""Whoever works on an order has its lease: the recovery leaves it alone, and who has lost it stops."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from models import db
from orders import leases
from orders.models import Order
from shopkit.database import now

RESERVED = {"items": [{"product_id": 1, "unit_price": 20.5}, {"product_id": 7, "unit_price": 9.99}]}
STEPS = {
    "claim": ("/internal/claims", None),
    "reserve": ("/internal/reservations", RESERVED),
    "sell": ("/internal/reservations/*/commit", {}),
}


@pytest.fixture
def states(client, alice):
    return lambda: [(o["status"], o["payment_status"]) for o in client.get("/orders", headers=alice).json]


@pytest.fixture
def during(others):
    """Do something while a step waits for its answer: `during("reserve", recover)`; once."""

    def during(step, action):
        path, body = STEPS[step]

        def answer(_):
            others.on("POST", path, body, 201)
            action()
            return 201, body

        others.on("POST", path, answer=answer)

    return during


@pytest.fixture
def shift_leases(app):
    """Let leases end earlier or later by so much, as if the time had passed, or a clock had been set."""

    def shift_leases(by):
        with app.app_context():
            for order in db.session.scalars(sa.select(Order)):
                order.leased_until += by
            db.session.commit()

    return shift_leases


@pytest.fixture
def run_recovery(app):
    """What the job does."""

    def run_recovery():
        with app.app_context():
            app.extensions["settlement"].recover()

    return run_recovery


@pytest.mark.parametrize("step", STEPS)
def test_a_checkout_that_is_alive_is_left_alone(check_out, during, run_recovery, charges, step):
    during(step, run_recovery)

    assert check_out().status_code == 201
    assert charges() == [(5099, None, False)]


@pytest.mark.parametrize("step", ["claim", "reserve"])
def test_who_has_lost_the_lease_does_nothing_more_and_says_what_the_order_came_to(
    check_out, during, recover, charges, states, steps, step
):
    during(step, recover)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "checkout_interrupted")
    assert response.json["order_id"] == 1
    assert (states(), charges()) == ([("failed", "none")], [])
    assert steps()[-2:] == ["release", "return"]


def test_who_has_lost_the_lease_after_paying_gets_the_order_that_the_recovery_confirmed(
    check_out, during, recover, charges, states
):
    during("sell", recover)

    assert check_out().status_code == 201
    assert (states(), charges()) == ([("confirmed", "paid")], [(5099, None, False)])


def test_a_payment_that_was_voided_in_the_meantime_is_no_declined_card(check_out, app, monkeypatch, recover, charges):
    provider = app.extensions["payment_provider"]
    usual = provider.charge

    def slowly(payment):
        recover()
        return usual(payment)

    monkeypatch.setattr(provider, "charge", slowly)

    response = check_out()

    assert (response.status_code, response.json["code"]) == (409, "checkout_interrupted")
    assert charges() == []


def test_a_lease_is_renewed_before_each_step_that_could_outlast_it(app, check_out, during, monkeypatch):
    monkeypatch.setattr(leases, "LONGEST_STEP", app.extensions["settlement"].lease_time)
    ends = []

    def look():
        with db.engine.connect() as connection:
            ends.append(connection.scalar(sa.select(Order.leased_until)))

    for step in STEPS:
        during(step, look)

    assert check_out().status_code == 201
    assert len(set(ends)) == len(STEPS)
    assert ends == sorted(ends)


def test_keeping_a_lease_makes_it_outlast_the_longest_step(app, check_out):
    check_out()
    with app.app_context():
        order = db.session.get(Order, 1)
        order.leased_until = now() + leases.LONGEST_STEP / 2
        db.session.commit()

        leases.keep_lease(order, timedelta(minutes=3))

        assert order.leased_until > now() + leases.LONGEST_STEP
        leases.keep_lease(order, timedelta(minutes=3))


def test_keeping_a_lease_from_before_the_clock_was_set_back_shortens_it(app, check_out):
    """Otherwise the recovery would take the order from a checkout that is alive."""

    check_out()
    with app.app_context():
        order = db.session.get(Order, 1)
        order.leased_until = now() + timedelta(hours=1)
        db.session.commit()

        leases.keep_lease(order, timedelta(minutes=3))

        assert order.leased_until < now() + timedelta(minutes=4)


def test_of_several_recoveries_at_once_each_gets_another_order(app, check_out, shift_leases):
    for _ in range(6):
        check_out()
    with app.app_context():
        db.session.execute(sa.update(Order).values(status="pending"))
        db.session.commit()
    shift_leases(-timedelta(days=1))
    together = Barrier(6)

    def take_over(_):
        with app.app_context():
            together.wait()
            order = leases.take_over(now(), timedelta(minutes=3))
            return order and order.id

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(take_over, range(6)), key=str) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seconds", ["112", "0", "-1", "nan", "inf", "86401"])
def test_a_lease_that_is_no_longer_than_a_step_or_longer_than_a_day_stops_the_start(settings, environment, seconds):
    from settings import Settings
    from shopkit.settings import SettingsError

    with pytest.raises(SettingsError, match="CHECKOUT_LEASE_SECONDS does not make sense: it must be above 112"):
        Settings.from_env({**environment, "CHECKOUT_LEASE_SECONDS": seconds})


@pytest.mark.parametrize("seconds", ["0", "-5", "nan", "inf"])
def test_a_recovery_that_would_never_rest_or_never_come_stops_the_start(settings, environment, seconds):
    from settings import Settings
    from shopkit.settings import SettingsError

    with pytest.raises(SettingsError, match="RECOVERY_SECONDS does not make sense: it must be above 0"):
        Settings.from_env({**environment, "RECOVERY_SECONDS": seconds})


def test_a_lease_from_before_a_clock_was_set_back_does_not_hold_an_order_for_ever(
    check_out, during, run_recovery, shift_leases, states
):
    class Killed(BaseException):
        pass

    def die():
        raise Killed

    during("reserve", die)
    with pytest.raises(Killed):
        check_out()
    shift_leases(timedelta(days=365))

    run_recovery()

    assert states() == [("failed", "none")]


@pytest.fixture
def lock_the_database(app):
    """Let every commit of the order service fail from now on, as that of a locked database; `lock_the_database(False)`
    ends it.
    """

    def refuse(_):
        raise OperationalError("COMMIT", {}, Exception("database is locked"))

    def lock_the_database(locked=True):
        (sa.event.listen if locked else sa.event.remove)(db.session, "before_commit", refuse)

    return lock_the_database


@pytest.mark.parametrize("step", STEPS)
def test_a_database_that_is_locked_after_the_order_is_saved_says_which_order_it_is(
    check_out, during, lock_the_database, recover, states, charges, step
):
    during(step, lock_the_database)

    response = check_out()

    lock_the_database(False)
    assert (response.status_code, response.json["code"], response.json["order_id"]) == (503, "order_pending", 1)
    assert "Retry-After" not in response.headers
    assert states() == [("pending", "none")]
    recover()
    charged = step == "sell"
    assert states() == [("confirmed", "paid") if charged else ("failed", "none")]
    assert charges() == ([(5099, None, False)] if charged else [])


def test_a_bug_in_a_step_says_which_order_it_is_and_the_order_is_undone(check_out, others, states, caplog):
    others.on("POST", "/internal/reservations", {"items": []}, 201)  # no prices

    response = check_out()

    [logged] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert logged.exc_info[0] is KeyError

    assert (response.status_code, response.json["code"]) == (409, "checkout_interrupted")
    assert response.json["order_id"] == 1
    assert states() == [("failed", "none")]
