"""A cart that is empty and that nobody has changed for long goes; nobody who fills one notices."""

from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import UUID

import pytest
import sqlalchemy as sa

from shopkit import retention

LONG = timedelta(days=90)
NOBODYS = UUID(int=5)


@pytest.fixture
def sweep_after(app):
    def sweep_after(time):
        with app.app_context():
            retention.sweep(lambda: datetime.now(UTC) + time, lambda _: None)

    return sweep_after


@pytest.fixture
def owners(app):
    """Who has a cart."""
    import models

    def owners():
        with app.app_context():
            return set(models.db.session.scalars(sa.select(models.Cart.user_id)))

    return owners


def test_only_an_empty_cart_goes(client, alice, bob, newcomer, put_in, sweep_after, owners):
    put_in(2)
    for who in (bob, newcomer):
        client.get("/cart", headers=who)
    assert owners() == {1, 2, 99}

    sweep_after(LONG - timedelta(minutes=1))
    assert owners() == {1, 2, 99}

    sweep_after(LONG)
    assert owners() == {1}
    assert client.get("/cart", headers=bob).json["items"] == []


def test_every_change_counts_anew(app, client, alice, put_in, sweep_after, owners):
    import models

    put_in(2)
    with app.app_context():
        models.db.session.execute(sa.update(models.Cart).values(changed_at=datetime.now(UTC) - LONG))
        models.db.session.commit()
    client.delete("/cart", headers=alice)

    sweep_after(timedelta(0))

    assert owners() == {1}


def test_a_cart_goes_after_its_claims(app, seeded, sweep_after):
    import models

    with app.app_context():
        cart = models.locked_cart(7)
        models.db.session.add(models.Claim(reference=NOBODYS, cart_id=cart.id, order_id=1))
        models.db.session.commit()

        sweep_after(10 * LONG)
        assert models.db.session.get(models.Cart, cart.id) is not None
        models.db.session.get(models.Claim, NOBODYS).ended_at = datetime.now(UTC)
        models.db.session.commit()

        sweep_after(10 * LONG)  # the claim
        sweep_after(10 * LONG)  # the cart
        assert models.db.session.scalar(sa.select(models.Cart.id).filter_by(user_id=7)) is None


def test_who_fills_a_cart_while_it_is_swept_away_has_it_all(app, client, alice, put_in, quantities):
    client.get("/cart", headers=alice)
    stop = []

    def sweep():
        with app.app_context():
            while not stop:
                retention.sweep(lambda: datetime.now(UTC) + timedelta(365), lambda _: None)

    sweeping = Thread(target=sweep)
    sweeping.start()
    try:
        for _ in range(10):
            assert put_in(2).status_code == 201
            assert quantities() == {2: 1}
            client.delete("/cart", headers=alice)
    finally:
        stop.append(True)
        sweeping.join()
