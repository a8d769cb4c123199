from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shopkit import background, retention
from shopkit.database import UtcDateTime, new_database
from shopkit.service import create_service
from shopkit.settings import Days, ServiceSettings

db = new_database()
A_WEEK = Days(7)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Thing(db.Model):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    is_dear: Mapped[bool] = mapped_column(default=False)


class Part(db.Model):
    __tablename__ = "parts"

    thing_id: Mapped[int] = mapped_column(sa.ForeignKey("things.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Note(db.Model):
    __tablename__ = "notes"

    place: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Book(db.Model):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)


AT_ONCE = 3
retention.goes(Thing.done_at, "keep_things_days", only=[~Thing.is_dear], along=[Part.thing_id], at_once=AT_ONCE)
retention.goes(Note.ends_at)
retention.stays("they are the books", Book)


@dataclass(frozen=True, kw_only=True)
class SettingsOfThings(ServiceSettings):
    keep_things_days: Days = A_WEEK


@pytest.fixture
def app(each_database_uri, network):
    settings = SettingsOfThings(secret_key="a secret", database_uri=each_database_uri)
    app = create_service(__name__, "thing-service", settings, apis=[], db=db, adapter=network)
    with app.app_context():
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def sweep(app):
    """Sweep at a moment, without waiting; says how often there was a pause."""

    def sweep(pause=lambda seconds: None):
        pauses = []
        retention.sweep(lambda: NOW, lambda seconds: (pauses.append(seconds), pause(seconds)))
        return len(pauses)

    return sweep


def _add_things(number, **fields):
    things = [Thing(**{"done_at": NOW - timedelta(8), **fields}) for _ in range(number)]
    db.session.add_all(things)
    db.session.flush()
    db.session.add_all([Part(thing_id=thing.id, number=n) for thing in things for n in (1, 2)])
    db.session.commit()
    return [thing.id for thing in things]


def _ids(column=Thing.id):
    found = sorted(db.session.scalars(sa.select(column)))
    db.session.rollback()
    return found


def test_what_is_as_old_as_the_setting_says_goes_and_nothing_younger(app, sweep):
    _add_things(1, done_at=NOW - timedelta(7))
    kept = [
        *_add_things(1, done_at=NOW - timedelta(7) + timedelta(microseconds=1)),
        *_add_things(1, done_at=None),
        *_add_things(1, is_dear=True),
    ]

    sweep()

    assert _ids() == kept


def test_what_refers_to_it_goes_with_it_and_nothing_else(app, sweep):
    _add_things(4)
    [kept] = _add_things(1, done_at=NOW)

    sweep()

    assert _ids(Part.thing_id) == [kept, kept]


def test_without_a_setting_a_row_goes_at_its_moment_whatever_its_key_is(app, sweep):
    db.session.add_all(
        Note(place=place, number=number, ends_at=NOW + timedelta(seconds=number))
        for place in ("here", "there")
        for number in (-1, 0, 1)
    )
    db.session.commit()

    sweep()

    assert _ids(Note.number) == [1, 1]


def test_it_is_done_in_small_transactions_between_which_others_write(app, sweep):
    _add_things(2 * AT_ONCE + 1)
    left = []

    def somebody_else(_):
        with db.engine.begin() as connection:
            connection.execute(sa.insert(Book))
            left.append(connection.scalar(sa.select(sa.func.count()).select_from(Thing)))

    assert sweep(somebody_else) == 2
    assert left == [AT_ONCE + 1, 1]
    assert (_ids(), len(_ids(Book.id))) == ([], 2)


def test_the_oldest_go_first_and_a_run_ends(app, sweep, monkeypatch, caplog):
    monkeypatch.setattr(retention, "MOST_STEPS", 2)
    kept = _add_things(2)
    _add_things(2 * AT_ONCE, done_at=NOW - timedelta(100))

    sweep()

    assert _ids() == kept
    assert "things grows faster than it is swept" in caplog.text


def test_what_somebody_else_has_locked_is_left_to_them(app, sweep):
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    locked, _ = _add_things(2)
    with db.engine.begin() as connection:
        connection.execute(sa.select(Thing.id).where(Thing.id == locked).with_for_update())

        sweep()

        assert _ids() == [locked]
    sweep()
    assert _ids() == []


def test_a_table_that_cannot_be_swept_does_not_keep_the_others_from_it(app, sweep, caplog):
    _add_things(1)
    Part.__table__.drop(db.engine)
    db.session.add(Note(place="here", number=1, ends_at=NOW))
    db.session.commit()

    sweep()

    assert _ids(Note.number) == []
    assert len(_ids()) == 1
    assert "things could not be swept" in caplog.text


def test_every_table_is_swept_by_one_job_every_ten_minutes(app):
    assert app.extensions["jobs"] == [background.Job(retention.sweep, 600)]


def test_a_service_without_the_setting_of_a_rule_does_not_start(network):
    settings = ServiceSettings(secret_key="a secret")
    with pytest.raises(AttributeError, match="keep_things_days"):
        create_service(__name__, "thing-service", settings, apis=[], db=db, adapter=network)
