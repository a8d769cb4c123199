"""What every payment provider does, and what is the sandbox's own."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from models import db
from orders.models import Order
from payments.choice import choose_provider
from payments.provider import Payment, PaymentDeclined, PaymentUnknown
from payments.sandbox import SandboxProvider, ledger
from seed import seed

ACCEPTED = {"sandbox": "sandbox_succeeds_1", "stripe": "pm_card_visa"}
DECLINED = {"sandbox": "sandbox_card_declined_1", "stripe": "pm_card_chargeCustomerFail"}


@pytest.fixture(params=["sandbox", "stripe"])
def provider(request, app, settings):
    if request.param == "stripe":
        url = request.getfixturevalue("localstripe")
        settings = replace(settings, stripe_api_key="sk_test_12345", stripe_api_base=url)
    with app.app_context():
        yield choose_provider(settings)


@pytest.fixture
def sandbox(app):
    with app.app_context():
        yield app.extensions["payment_provider"]


@pytest.fixture
def at_once(app):
    """Call functions at the same moment and return what each of them answers or raises."""

    def called(function):
        with app.app_context():
            try:
                return function()
            except Exception as error:
                return error

    def at_once(*functions):
        with ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(called, functions))

    return at_once


def _payment(card="sandbox_succeeds_1"):
    return Payment(uuid.uuid4(), card, 5099, "USD")


def _declined():
    return pytest.raises(PaymentDeclined)


def _unknown():
    return pytest.raises(PaymentUnknown)


def _lines(sandbox):
    with sandbox.engine.connect() as connection:
        return connection.execute(sa.select(ledger)).all()


def _forget_all(db):
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(sa.delete(table))
    db.session.commit()


class TestEveryProvider:
    def test_a_payment_is_charged_once_however_often_it_is_asked_for(self, provider):
        payment = _payment(ACCEPTED[provider.name])

        first = provider.charge(payment)

        assert (first.amount, first.currency, first.declined, first.refunded) == (5099, "USD", None, False)
        assert provider.charge(payment) == first
        assert provider.find(payment.key) == first

    def test_a_declined_payment_stays_declined(self, provider):
        payment = _payment(DECLINED[provider.name])

        for _ in range(2):
            with _declined() as raised:
                provider.charge(payment)
            assert raised.value.code == "card_declined"
        assert provider.find(payment.key).declined == "card_declined"
        assert provider.void(payment.key).declined == "card_declined"

    def test_a_token_that_is_nobodys_is_declined(self, provider):
        with _declined():
            provider.charge(_payment("pm_of_nobody"))

    def test_nothing_is_known_of_a_payment_that_was_never_asked_for(self, provider):
        assert provider.find(uuid.uuid4()) is None

    def test_a_voided_payment_is_never_charged(self, provider):
        payment = _payment(ACCEPTED[provider.name])

        assert provider.void(payment.key) is None
        for _ in range(2):
            with _declined() as raised:
                provider.charge(payment)
            assert raised.value.code == "voided"
        assert provider.find(payment.key) is None
        assert provider.void(payment.key) is None

    def test_a_charged_payment_cannot_be_voided_any_more(self, provider):
        payment = _payment(ACCEPTED[provider.name])
        charge = provider.charge(payment)

        assert provider.void(payment.key) == charge
        assert provider.charge(payment) == charge

    def test_all_is_given_back_and_that_once(self, provider):
        payment = _payment(ACCEPTED[provider.name])
        charge = provider.charge(payment)

        for _ in range(2):
            provider.refund(payment.key)

        assert provider.find(payment.key) == replace(charge, refunded=True)
        assert provider.void(payment.key) == replace(charge, refunded=True)

    def test_where_nothing_was_charged_nothing_is_given_back(self, provider):
        declined = _payment(DECLINED[provider.name])
        voided = uuid.uuid4()
        with _declined():
            provider.charge(declined)
        provider.void(voided)

        for key in (declined.key, voided, uuid.uuid4()):
            provider.refund(key)

        assert not provider.find(declined.key).refunded

    def test_many_who_ask_at_once_get_the_same_charge(self, provider, at_once):
        payment = _payment(ACCEPTED[provider.name])

        made = at_once(*[lambda: provider.charge(payment)] * 6)

        assert set(made) == {provider.find(payment.key)}

    def test_of_charging_and_voiding_at_once_one_wins_and_both_know(self, provider, at_once):
        for _ in range(10):
            payment = _payment(ACCEPTED[provider.name])

            charged, voided = at_once(lambda: provider.charge(payment), lambda: provider.void(payment.key))  # noqa: B023

            assert provider.void(payment.key) == voided
            assert charged == voided or (isinstance(charged, PaymentDeclined) and voided is None)


class TestSandbox:
    def test_insufficient_funds_are_said(self, sandbox):
        with _declined() as raised:
            sandbox.charge(_payment("sandbox_insufficient_funds_1"))

        assert (raised.value.code, raised.value.status) == ("insufficient_funds", 402)

    def test_a_charge_whose_answer_is_lost_is_found(self, sandbox):
        payment = _payment("sandbox_timeout_charged_1")

        with _unknown():
            sandbox.charge(payment)

        charge = sandbox.find(payment.key)
        assert (charge.amount, charge.declined) == (5099, None)
        assert sandbox.charge(payment) == sandbox.void(payment.key) == charge

    def test_a_request_that_is_lost_charges_nothing_however_often_it_is_repeated(self, sandbox):
        payment = _payment("sandbox_timeout_not_charged_1")

        for _ in range(2):
            with _unknown():
                sandbox.charge(payment)

        assert sandbox.find(payment.key) is None
        assert _lines(sandbox) == []

    @pytest.mark.parametrize("kind", ["timeout_charged", "timeout_not_charged", "succeeds"])
    def test_a_charge_that_arrives_after_it_was_voided_is_refused(self, sandbox, kind):
        payment = _payment(f"sandbox_{kind}_1")
        sandbox.void(payment.key)

        with _declined():
            sandbox.charge(payment)

        assert [line.amount for line in _lines(sandbox)] == [0]

    def test_the_ledger_is_read_by_whoever_comes_next(self, sandbox, settings):
        charge = sandbox.charge(payment := _payment())

        assert choose_provider(settings).find(payment.key) == charge

    def test_the_ledger_survives_a_power_cut(self, sandbox):
        if sandbox.engine.dialect.name != "sqlite":
            pytest.skip("SQLite's own settings")

        with sandbox.engine.connect() as connection:
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]

        assert found == ["wal", 2]

    def test_several_may_make_the_ledger_at_once(self, settings, at_once):
        providers = [SandboxProvider(settings) for _ in range(6)]

        made = at_once(*[lambda each=each: each.charge(_payment()) for each in providers])

        assert len({charge.id for charge in made}) == 6
        assert len(_lines(providers[0])) == 6

    def test_a_ledger_that_cannot_be_reached_leaves_it_open(self, settings, tmp_path):
        sandbox = SandboxProvider(replace(settings, sandbox_ledger_uri=f"sqlite:///{tmp_path}"))

        with _unknown():
            sandbox.charge(_payment())

    def test_the_orders_of_the_demonstration_are_paid_once(self, seeded, charges):

        with seeded.app_context():
            _forget_all(db)
            seed(seeded.extensions["payment_provider"])
            totals = [order.total_amount for order in db.session.scalars(sa.select(Order))]

        assert charges() == [(total, None, False) for total in totals]


class TestLedgerUrl:
    @pytest.fixture
    def ledger_url(self, settings):
        from payments.sandbox import ledger_url

        return lambda orders, ledger="": ledger_url(replace(settings, database_uri=orders, sandbox_ledger_uri=ledger))

    def test_a_file_beside_the_orders(self, ledger_url, tmp_path):
        assert ledger_url(f"sqlite:///{tmp_path}/orders.db").database == f"{tmp_path}/sandbox.db"

    def test_a_relative_name_is_in_the_instance_folder(self, ledger_url, app):
        assert ledger_url("sqlite:///orders.db").database == f"{app.instance_path}/sandbox.db"
        assert ledger_url("sqlite:///orders.db", "sqlite:///other.db").database == f"{app.instance_path}/other.db"

    def test_the_same_postgresql(self, ledger_url):
        orders = "postgresql+psycopg://shop:secret@db/orders"

        assert ledger_url(orders).render_as_string(hide_password=False) == orders

    def test_wherever_the_setting_says(self, ledger_url, tmp_path):
        assert ledger_url("postgresql+psycopg://db/orders", f"sqlite:///{tmp_path}/l.db").database == f"{tmp_path}/l.db"


def test_the_secrets_of_the_provider_are_not_shown(settings):
    told = repr(replace(settings, stripe_api_key="sk_live_1", stripe_webhook_secret="whsec_1"))

    assert "sk_live_1" not in told
    assert "whsec_1" not in told


def test_the_sandbox_is_the_provider_unless_there_is_a_key_for_stripe(settings):
    assert choose_provider(settings).name == "sandbox"
    assert choose_provider(replace(settings, stripe_api_key="sk_test_1")).name == "stripe"
