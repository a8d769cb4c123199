"""A service as small as can be, to try the kit on: notes, each somebody's."""

import pytest
import sqlalchemy as sa
from flask_openapi3 import APIBlueprint
from sqlalchemy.orm import Mapped, mapped_column

from shopkit.auth import current_user, only, public
from shopkit.database import Created, fetch_or_404, new_database
from shopkit.errors import Conflict, PaymentRequired, UpstreamFailed
from shopkit.http_client import ServiceClient
from shopkit.paging import Page, page_of
from shopkit.schemas import AmountIn, Id, Input, Output, Query
from shopkit.service import ViewResult, create_service
from shopkit.settings import ServiceSettings
from shopkit.transactions import reads_only

db = new_database()


class Note(Created, db.Model):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    text: Mapped[str]


class NewNote(Input):
    text: str
    worth: AmountIn = 0
    product_id: Id = 1


class NoteOut(Output):
    id: int
    text: str


class NumberQuery(Query):
    first: int = 0
    all: list[int] = []
    more: tuple[int, ...] | None = None


class NotePath(Output):
    note_id: int


def notes_api(partner: ServiceClient) -> APIBlueprint:
    notes = APIBlueprint("notes", __name__)

    @notes.post("/notes", responses={201: NoteOut})
    def write(body: NewNote) -> ViewResult:
        """Write a note."""
        note = Note(user_id=current_user().id, text=body.text)
        db.session.add(note)
        db.session.commit()
        return NoteOut.model_validate(note), 201

    @notes.get("/notes")
    @public
    def index(query: Page) -> ViewResult:
        """List all notes."""
        return page_of(sa.select(Note).order_by(Note.id), query, NoteOut)

    @notes.get("/numbers", responses={200: NoteOut})
    @public
    def numbers(query: NumberQuery) -> ViewResult:
        """Show what was asked for."""
        return NoteOut(id=1, text=f"{query.first} {query.all} {query.more}")

    @notes.get("/notes/<int:note_id>", responses={200: NoteOut})
    def show(path: NotePath) -> ViewResult:
        """Show a note."""
        return NoteOut.model_validate(fetch_or_404(Note, path.note_id, user_id=current_user().id))

    @notes.delete("/notes")
    @only("admin", "support")
    def burn() -> ViewResult:
        """Burn them all."""
        return "", 204

    @notes.post("/internal/notes")
    @public
    def internal() -> ViewResult:
        """Not for people, whatever its mark says."""
        return NoteOut(id=0, text=current_user().username)

    @notes.post("/count")
    @public
    @reads_only
    def count() -> ViewResult:
        """Count without writing."""
        return NoteOut(id=db.session.scalar(sa.select(sa.func.count(Note.id))), text="")

    @notes.get("/fail/<kind>")
    @public
    def fail(path: "Kind") -> ViewResult:
        """Fail in a way of one's choice."""
        raise {
            "conflict": Conflict("It is taken.", code="taken", by="bob"),
            "payment": PaymentRequired("No money."),
            "bug": ZeroDivisionError("secret detail"),
            "upstream": UpstreamFailed("The partner-service is not available."),
            "database": sa.exc.OperationalError("SELECT secret", {}, Exception("locked")),
        }[path.kind]

    @notes.get("/ask")
    def ask() -> ViewResult:
        """Ask the partner service."""
        return NoteOut(id=1, text=str(partner.get("/thing", size="big")))

    return notes


class Kind(Output):
    kind: str


@pytest.fixture
def settings(database_uri):
    return ServiceSettings(secret_key="a secret", database_uri=database_uri)


@pytest.fixture
def app(settings, network):
    partner = ServiceClient("partner-service", "http://127.0.0.1:5999", network)
    app = create_service(
        __name__, "note-service", settings, apis=[notes_api(partner)], db=db, needs=[partner], adapter=network
    )
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def notes_db():
    return db


@pytest.fixture
def note():
    """The class of the rows."""
    return Note
