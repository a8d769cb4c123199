import pytest
import sqlalchemy as sa

from shopkit.seeding import add_in_order, fills


@pytest.fixture
def seed(app, notes_db, note):
    """Fill the database, if it is empty, with notes of these texts; it says which are there then."""

    def seed(*texts):
        @fills(note)
        def fill():
            assert not notes_db.session().in_transaction()
            add_in_order(note(user_id=1, text=text) for text in texts)

        with app.app_context():
            fill()
        with app.app_context():
            return list(notes_db.session.scalars(sa.select(note.text).order_by(note.id)))

    return seed


def test_an_empty_database_is_filled_in_order_and_only_once(seed):
    assert seed("b", "a", "c") == ["b", "a", "c"]
    assert seed("d") == ["b", "a", "c"]
