import pytest
import sqlalchemy as sa

from shopkit.schemas import Output
from shopkit.transactions import (
    after_commit,
    commit_and_show,
    end_reading,
    flush_and_show,
    only_reads,
    reading,
    reads_only,
)


class NoteOut(Output):
    id: int
    text: str


@pytest.fixture
def session(app, notes_db):
    """The session of an open context."""
    with app.app_context():
        yield notes_db.session


@pytest.fixture
def kept(session, note):
    """A note that is there already."""
    kept = note(user_id=1, text="kept")
    session.add(kept)
    session.commit()
    return kept


@pytest.fixture
def statements(session, notes_db):
    """What the database is told from now on, the ends of transactions included."""
    said = []
    engine = notes_db.engine
    sa.event.listen(engine, "before_cursor_execute", lambda _, __, text, *___: said.append(text.split()[0]))
    sa.event.listen(engine, "commit", lambda _: said.append("COMMIT"))
    sa.event.listen(engine, "rollback", lambda _: said.append("ROLLBACK"))
    return said


@pytest.mark.parametrize(("method", "path"), [("get", "/notes"), ("post", "/count")])
def test_who_only_reads_does_not_wait_for_a_writer(app, client, notes_db, method, path):
    with app.app_context(), notes_db.engine.begin() as writing:
        writing.execute(sa.text("DELETE FROM notes"))

        assert getattr(client, method)(path).status_code == 200


class TestReading:
    def test_when_reading_is_over_no_transaction_is_open_and_rows_stay_as_they_were_read(self, session, kept):
        with reading():
            session.refresh(kept)

        assert not session().in_transaction()
        assert kept.text == "kept"
        assert not session().in_transaction()

    def test_a_request_that_writes_later_does_not_wait_for_a_writer_while_it_reads(self, app, notes_db, note):
        count = sa.select(sa.func.count(note.id))
        with app.app_context(), notes_db.engine.begin() as writing:
            writing.execute(sa.text("DELETE FROM notes"))
            with app.test_request_context(method="POST"), reading():
                assert notes_db.session.scalar(count) == 0

    def test_a_view_that_only_reads_may_end_its_reading_within(self, app):
        with app.test_request_context(method="POST"):

            @reads_only
            def view():
                end_reading()
                return only_reads()

            assert view()

    @pytest.mark.parametrize("sent", [False, True], ids=["not yet sent", "sent"])
    def test_what_is_written_is_not_committed_by_the_end_of_reading(self, session, note, sent):
        session.add(note(user_id=1, text="x"))
        if sent:
            session.flush()

        with pytest.raises(RuntimeError, match="only read"):
            end_reading()

        session.rollback()
        assert session.scalar(sa.select(sa.func.count(note.id))) == 0
        end_reading()

    def test_changes_and_deletions_are_written_too(self, session, kept):
        kept.text = "changed"
        with pytest.raises(RuntimeError, match="only read"):
            end_reading()
        session.rollback()
        session.delete(kept)
        with pytest.raises(RuntimeError, match="only read"):
            end_reading()

    def test_after_a_commit_one_may_read_again(self, session, note):
        session.add(note(user_id=1, text="x"))
        session.commit()
        with reading():
            assert session.scalar(sa.select(note.text)) == "x"


class TestShowing:
    def test_the_commit_is_the_last_that_happens(self, session, note, statements):
        new = note(user_id=1, text="new")
        session.add(new)

        shown = commit_and_show(new, NoteOut)

        assert shown == NoteOut(id=new.id, text="new")
        assert statements.index("COMMIT") == len(statements) - 1

    def test_what_the_database_decides_is_shown_and_read_before_the_commit(self, kept, statements):
        kept.text = sa.func.upper("loud")

        assert commit_and_show(kept, NoteOut).text == "LOUD"
        assert statements.index("COMMIT") == len(statements) - 1

    def test_an_idempotent_view_shows_what_somebody_else_will_commit(self, session, note):
        new = note(user_id=1, text="new")
        session.add(new)

        assert flush_and_show(new, NoteOut).id == new.id
        session.rollback()
        assert session.scalar(sa.select(sa.func.count(note.id))) == 0


class TestAfterCommit:
    @pytest.fixture
    def called(self):
        return []

    def test_a_callback_runs_once_it_is_committed_and_only_once(self, session, note, called):
        session.add(note(user_id=1, text="x"))
        session.flush()
        after_commit(lambda: called.append("x"))

        assert called == []
        session.commit()
        session.commit()

        assert called == ["x"]

    def test_a_callback_holds_no_connection(self, session, notes_db, note, called):
        session.add(note(user_id=1, text="x"))
        session.flush()
        after_commit(lambda: called.append(notes_db.engine.pool.checkedout()))
        before = notes_db.engine.pool.checkedout()
        session.commit()

        assert (before, called) == (1, [0])

    def test_no_callback_runs_after_a_rollback(self, session, note, called):
        session.add(note(user_id=1, text="x"))
        after_commit(lambda: called.append("x"))
        session.rollback()
        session.commit()

        assert called == []

    def test_no_callback_runs_in_another_session(self, app, notes_db, called):
        with app.app_context():
            after_commit(lambda: called.append("x"))
        with app.app_context():
            notes_db.session.commit()

        assert called == []

    def test_what_is_committed_is_done_even_if_a_callback_fails(self, session, note, called, caplog):
        session.add(note(user_id=1, text="x"))
        after_commit(lambda: 1 / 0)
        after_commit(lambda: called.append("x"))
        session.commit()

        assert session.scalar(sa.select(sa.func.count(note.id))) == 1
        assert called == ["x"]
        assert "ZeroDivisionError" in caplog.text
