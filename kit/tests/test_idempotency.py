import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

import pytest
import sqlalchemy as sa
from flask import current_app
from flask_openapi3 import APIBlueprint
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from shopkit import idempotency, retention
from shopkit.auth import ADMIN, only
from shopkit.database import new_database
from shopkit.errors import Conflict, NotFound, NotSignedIn, Unavailable, UpstreamTimeout
from shopkit.http_client import ServiceClient
from shopkit.idempotency import current_key, fingerprint, idempotent, takes_key
from shopkit.schemas import Input, Output
from shopkit.service import ViewResult, create_service
from shopkit.settings import KEEP_ANSWERS, Hours, ServiceSettings
from shopkit.transactions import end_reading

db = new_database()
idempotency.keep_keys(db)
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
PARTNER = "http://127.0.0.1:5999"


class Thing(db.Model):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True, kw_only=True)
class SettingsOfKeys(ServiceSettings):
    keep_answers_hours: Hours = KEEP_ANSWERS


class NewThing(Input):
    name: str
    more: dict[str, int] | None = None


class ThingOut(Output):
    id: int
    name: str


class ThingPath(Output):
    thing_id: int


class TooMany(Conflict):
    status = 429
    code = "too_many"


def things_api() -> APIBlueprint:
    things = APIBlueprint("things", __name__)

    @things.post("/things", responses={201: ThingOut})
    @idempotent
    def make(body: NewThing) -> ViewResult:
        """Make a thing."""
        current_app.config["ACT"]()
        thing = Thing(name=body.name)
        db.session.add(thing)
        db.session.flush()
        answer = current_app.make_response((ThingOut.model_validate(thing).model_dump(), 201))
        answer.headers.update({"Location": f"/things/{thing.id}", "Link": '</things>; rel="up"', "X-Other": "not kept"})
        return answer

    @things.post("/other-things", responses={201: ThingOut})
    @idempotent
    def make_other(body: NewThing) -> ViewResult:
        """Make a thing of another kind."""
        current_app.config["ACT"]()
        return ThingOut(id=0, name=body.name), 201

    @things.post("/things/<int:thing_id>", responses={204: None})
    @things.delete("/things/<int:thing_id>", responses={204: None})
    @idempotent
    def wipe(path: ThingPath) -> ViewResult:
        """Wipe a thing."""
        current_app.config["ACT"]()
        return "", 204

    @things.post("/refusing-things")
    @idempotent
    def refuse(body: NewThing) -> ViewResult:
        """Make a thing and refuse it, without raising anything."""
        db.session.add(Thing(name=body.name))
        db.session.flush()
        return "", 409

    @things.post("/own-things")
    @takes_key
    def make_by_oneself(body: NewThing) -> ViewResult:
        """Say what the key and the body are known by."""
        current_app.config["ACT"]()
        return ThingOut(id=0, name=f"{current_key()} {fingerprint()}")

    @things.post("/secrets")
    def unmarked(body: NewThing) -> ViewResult:
        """Make something whose answer is not kept."""
        current_app.config["ACT"]()
        return ThingOut(id=0, name=str(current_key()))

    @things.post("/admin-things")
    @only(ADMIN)
    @idempotent
    def for_admins(body: NewThing) -> ViewResult:
        """Make a thing of the admins'."""
        return ThingOut(id=0, name=str(current_key()))

    return things


@pytest.fixture
def database_uri(each_database_uri):
    return each_database_uri


@pytest.fixture
def app(settings, network):
    app = create_service(__name__, "thing-service", settings, apis=[things_api()], db=db, adapter=network)
    app.config["ACT"] = lambda: None
    with app.app_context():
        db.create_all()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def settings(database_uri):
    return SettingsOfKeys(secret_key="a secret", database_uri=database_uri)


@pytest.fixture
def runs(app):
    """The keys with which views ran; `runs.act` is what the next one does first."""

    class Runs(list):
        def act(self):
            pass

    runs = Runs()

    def act():
        runs.append(current_key())
        runs.act()

    app.config["ACT"] = act
    return runs


@pytest.fixture
def post(client, alice, runs):
    def post(headers=KEY, path="/things", who=alice, **body):
        return client.post(path, json={"name": "lamp", **body}, headers={**who, **headers})

    return post


@pytest.fixture
def clock(monkeypatch):
    """What time it is; `clock.forward(seconds)`."""

    class Clock:
        now = datetime(2026, 1, 1, tzinfo=UTC)

        def forward(self, **span):
            self.now += timedelta(**span)

    clock = Clock()
    monkeypatch.setattr(idempotency, "now", lambda: clock.now)
    return clock


@pytest.fixture
def kept(app):
    """The rows of the table."""

    def kept():
        with app.app_context():
            table = db.metadata.tables["idempotency_keys"]
            return db.session.execute(sa.select(table).order_by(table.c.expires_at)).all()

    return kept


def _raise(error):
    def act():
        raise error

    return act


def _things(app):
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count(Thing.id)))


class TestReplay:
    def test_a_repetition_acts_once_and_is_answered_the_same(self, app, post, runs):
        first, second = post(), post()

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.data == second.data
        assert len(runs) == _things(app) == 1
        for name in ("Content-Type", "Location", "Link"):
            assert first.headers[name] == second.headers[name]
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"

    def test_an_error_is_repeated_too_to_the_byte(self, post, runs):
        runs.act = _raise(Conflict("It is taken.", code="taken", by="bob"))
        first = post()
        runs.act = lambda: None
        second = post()

        assert (second.status_code, second.json["code"], second.json["by"]) == (409, "taken", "bob")
        assert second.data == first.data
        assert second.content_type == "application/problem+json"
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(runs) == 1

    def test_what_a_failed_view_had_not_committed_is_gone(self, app, post, runs):
        def half():
            db.session.add(Thing(name="half"))
            db.session.flush()
            raise NotFound("There is no lamp.")

        runs.act = half

        assert [post().status_code, post().status_code] == [404, 404]
        assert _things(app) == 0

    @pytest.mark.parametrize(("method", "path"), [("delete", "/things/7"), ("post", "/things/7")])
    def test_a_request_without_a_body_has_a_key_as_well(self, client, alice, runs, method, path):
        first, second = (getattr(client, method)(path, headers={**alice, **KEY}) for _ in range(2))

        assert (first.status_code, second.status_code, second.data) == (204, 204, b"")
        assert len(runs) == 1

    @pytest.mark.parametrize("body", [b"not JSON", b"\xff", b"[" * 300 + b"]" * 300])
    def test_a_body_that_nobody_reads_may_be_anything(self, client, alice, runs, body):
        for _ in range(2):
            assert client.delete("/things/7", data=body, headers={**alice, **KEY}).status_code == 204

        assert len(runs) == 1

    def test_without_a_key_every_request_acts_and_nothing_is_kept(self, post, runs, kept):
        post({})
        post({})

        assert runs == [None, None]
        assert kept() == []

    def test_an_unmarked_route_knows_no_keys(self, post, runs, kept):
        assert [post(path="/secrets").json["name"] for _ in range(2)] == ["None", "None"]
        assert len(runs) == 2
        assert kept() == []

    def test_the_view_knows_its_key(self, post, runs, client, admin):
        post()

        assert runs == [KEY["Idempotency-Key"]]
        answer = client.post("/admin-things", json={"name": "x"}, headers={**admin, **KEY})
        assert answer.json["name"] == KEY["Idempotency-Key"]

    def test_neither_key_nor_body_is_kept(self, post, kept):
        post(more={"card": 4242424242424242})

        stored = repr(kept())
        assert "4242424242424242" not in stored
        assert KEY["Idempotency-Key"] not in stored

    def test_a_kept_fingerprint_cannot_be_guessed_without_the_secret(self, app, post, kept):
        post(more={"card": 4242424242424242})
        app.config["SECRET_KEY"] = "another secret"
        post({"Idempotency-Key": "another-key-1"}, more={"card": 4242424242424242})

        assert len({each.fingerprint for each in kept()}) == 2

    def test_other_services_may_be_asked_because_no_transaction_is_open(self, post, runs, network):
        network.on("POST", "/somewhere", {})
        partner = ServiceClient("partner-service", PARTNER, network)
        runs.act = lambda: partner.post("/somewhere")

        assert post().status_code == 201


class TestScope:
    def test_another_body_with_the_same_key_is_refused(self, post, runs):
        post()

        answer = post(name="table")

        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
        assert len(runs) == 1
        assert post().status_code == 201

    def test_the_order_of_members_and_white_space_make_no_other_body(self, client, alice, runs):
        headers = {**alice, **KEY, "Content-Type": "application/json"}
        bodies = ['{"name": "x", "more": {"a": 1, "b": 2}}', '{"more":{"b":2,"a":1},\n"name":"x"}']

        first, second = (client.post("/things", data=body, headers=headers) for body in bodies)

        assert first.data == second.data
        assert len(runs) == 1

    def test_a_key_belongs_to_its_user(self, post, runs, bob):
        post()

        assert "Idempotent-Replayed" not in post(who=bob, name="bob's").headers
        assert len(runs) == 2

    @pytest.mark.parametrize("other", [("post", "/things/8"), ("delete", "/things/7")])
    def test_a_key_belongs_to_its_method_and_path(self, client, alice, runs, other):
        client.post("/things/7", headers={**alice, **KEY})

        method, path = other
        getattr(client, method)(path, headers={**alice, **KEY})

        assert len(runs) == 2

    def test_a_key_belongs_to_its_route(self, post, runs):
        post()
        post(path="/other-things")

        assert len(runs) == 2

    def test_who_may_not_use_the_route_gets_no_replay(self, post, client, admin, alice):
        client.post("/admin-things", json={"name": "x"}, headers={**admin, **KEY})

        assert client.post("/admin-things", json={"name": "x"}, headers={**alice, **KEY}).status_code == 403
        assert post(who={}).status_code == 401


class TestHeader:
    @pytest.mark.parametrize("key", ["", "x" * 256, "two words", "schlüssel", "a\tb", "\x7f"])
    def test_a_key_that_is_not_one_is_a_422_that_names_the_header(self, post, runs, key):
        answer = post({"Idempotency-Key": key.encode().decode("latin-1")})

        assert answer.status_code == 422
        assert [error["field"] for error in answer.json["errors"]] == ["Idempotency-Key"]
        assert runs == []

    @pytest.mark.parametrize("key", ["x", "x" * 255, '"8e03978e"', "!~"])
    def test_any_visible_characters_will_do(self, post, key):
        assert post({"Idempotency-Key": key}).status_code == 201
        assert post({"Idempotency-Key": key}).headers["Idempotent-Replayed"] == "true"

    def test_a_body_that_does_not_validate_uses_up_no_key(self, post, kept):
        assert post(name=None).status_code == 422
        assert kept() == []
        assert post().status_code == 201

    def test_marked_routes_document_it(self, client):
        paths = client.get("/openapi.json").json["paths"]

        def headers(operation):
            return [each["name"] for each in operation.get("parameters", []) if each["in"] == "header"]

        assert headers(paths["/things"]["post"]) == ["Idempotency-Key"]
        assert headers(paths["/things/{thing_id}"]["delete"]) == ["Idempotency-Key"]
        assert headers(paths["/own-things"]["post"]) == ["Idempotency-Key"]
        assert headers(paths["/secrets"]["post"]) == []


class TestNotFinal:
    @pytest.mark.parametrize(
        "error",
        [
            Unavailable("The database is not available at the moment; try again."),
            UpstreamTimeout("The partner did not answer in time."),
            OperationalError("SELECT 1", {}, Exception("locked")),
            TooMany("Slow down."),
            NotSignedIn("The token has ended."),
            idempotency.InUse("The order is being placed."),
        ],
    )
    def test_an_answer_that_asks_for_another_try_is_not_kept(self, app, post, runs, kept, error):
        runs.act = _raise(error)
        assert post().status_code in (401, 409, 429, 503, 504)
        assert kept() == []

        runs.act = lambda: None
        answer = post()

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers
        assert _things(app) == 1

    def test_a_bug_is_not_kept(self, app, post, runs, kept):
        runs.act = _raise(ZeroDivisionError())

        assert post().status_code == 500
        assert _things(app) == 0
        assert kept() == []

    def test_after_a_failure_the_key_may_come_with_another_body(self, post, runs):
        runs.act = _raise(Unavailable("Later."))
        post()
        runs.act = lambda: None

        assert post(name="table").status_code == 201


class TestOnce:
    """Key, answer and what the view did are in one transaction."""

    @pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
    def test_a_key_acts_once_even_if_the_process_dies(self, app, post, moment):
        _die(app, post, moment)

        assert post().status_code == 201
        assert post().headers["Idempotent-Replayed"] == "true"
        assert _things(app) == 1

    def test_of_twenty_at_once_one_acts_and_all_get_its_answer(self, app, alice):
        def request(_):
            return app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY})

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(request, range(20)))

        assert _things(app) == 1
        assert {each.status_code for each in answers} == {201}
        assert len({each.data for each in answers}) == 1

    @pytest.mark.parametrize(("body", "status"), [({"name": "lamp"}, 201), ({"name": "table"}, 422)])
    def test_who_finds_on_acting_that_another_was_first_undoes_it_and_says_what_they_said(
        self, app, post, runs, alice, body, status
    ):
        _meanwhile(app, runs, alice, body={"name": "lamp"})

        second = post(**body)

        assert second.status_code == status
        assert len(runs) == 2
        assert _things(app) == 1
        if status == 201:
            assert second.headers["Idempotent-Replayed"] == "true"
            assert second.data == post().data

    def test_who_fails_because_another_was_first_says_what_they_said(self, app, post, runs, alice):
        _meanwhile(app, runs, alice, body={"name": "lamp"}, then=_raise(Conflict("There is a lamp.")))

        assert post().status_code == 201
        assert _things(app) == 1

    @pytest.mark.parametrize("headers", [KEY, {}])
    @pytest.mark.parametrize("error", [OperationalError("COMMIT", {}, Exception("disk full")), ZeroDivisionError()])
    def test_a_commit_that_fails_is_a_failure_and_nothing_is_done_or_kept(self, app, post, kept, error, headers):
        def fail(_):
            raise error

        sa.event.listen(db.session, "before_commit", fail)
        try:
            failed = post(headers)
        finally:
            sa.event.remove(db.session, "before_commit", fail)

        assert failed.status_code == (503 if isinstance(error, OperationalError) else 500)
        assert (_things(app), kept()) == (0, [])
        assert post(headers).status_code == 201

    def test_an_expired_key_cannot_make_two_act(self, app, post, runs, alice, clock):
        post()
        clock.forward(hours=24)
        _meanwhile(app, runs, alice, body={"name": "lamp"})

        assert post().headers["Idempotent-Replayed"] == "true"
        assert _things(app) == 2

    def test_a_view_may_end_its_reading_before_it_writes(self, post, runs):
        runs.act = end_reading

        assert post(name="box").status_code == 201

    @pytest.mark.parametrize("headers", [KEY, {}])
    def test_a_view_that_commits_by_itself_is_a_bug_that_shows_at_once(self, app, post, runs, headers):
        runs.act = db.session.commit

        assert post(headers).status_code == 500
        assert _things(app) == 0

    @pytest.mark.parametrize("headers", [KEY, {}])
    def test_an_error_that_is_returned_undoes_what_the_view_did_too(self, app, post, runs, headers):
        assert post(headers, path="/refusing-things").status_code == 409
        assert _things(app) == 0


class TestSize:
    def test_an_answer_of_16_kb_is_kept(self, post, runs):
        text = token_urlsafe(15_000)[:15_000]
        first, second = post(name=text), post(name=text)

        assert (first.data, len(runs)) == (second.data, 1)

    def test_of_a_larger_one_the_key_is_kept_and_the_repetition_says_so(self, app, post, kept):
        text = token_urlsafe(30_000)
        first, second = post(name=text), post(name=text)

        assert first.status_code == 201
        assert (second.status_code, second.json["code"]) == (409, "answer_not_kept")
        assert "201" in second.json["detail"]
        assert _things(app) == 1
        assert [row.body for row in kept()] == [None]
        assert post(name="other").json["code"] == "idempotency_key_reused"


class TestOwnKeys:
    """`takes_key`: the view keeps the key itself."""

    def test_the_view_gets_key_and_fingerprint_and_nothing_is_kept_for_it(self, post, runs, kept):
        first, second = post(path="/own-things"), post(path="/own-things")

        assert first.data == second.data
        assert first.json["name"].startswith(KEY["Idempotency-Key"])
        assert post(path="/own-things", name="table").data != first.data
        assert runs == [KEY["Idempotency-Key"]] * 3
        assert kept() == []

    def test_without_a_key_there_is_none(self, post, runs):
        post({}, path="/own-things")

        assert runs == [None]

    def test_what_is_no_key_is_refused(self, post, runs):
        assert post({"Idempotency-Key": "two words"}, path="/own-things").status_code == 422
        assert runs == []


def _meanwhile(app, runs, who, body, then=lambda: None):
    """While the view runs and has not touched the database, somebody else's request with the same key comes first."""

    def act():
        runs.act = lambda: None
        assert app.test_client().post("/things", json=body, headers={**who, **KEY}).status_code == 201
        then()

    runs.act = act


def _die(app, post, moment):
    """Send the request in a process that ends at this moment."""
    with app.app_context():
        db.engine.dispose()
    if (child := os.fork()) == 0:
        sa.event.listen(db.session, moment, lambda _: os._exit(9))
        post()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


class TestExpiry:
    def test_a_key_is_kept_for_a_day(self, post, runs, clock):
        post()

        clock.forward(hours=24, seconds=-1)
        assert post().headers["Idempotent-Replayed"] == "true"
        clock.forward(seconds=1)
        assert "Idempotent-Replayed" not in post(name="table").headers
        assert post(name="table").headers["Idempotent-Replayed"] == "true"
        assert len(runs) == 2

    def test_the_sweep_deletes_those_that_have_expired(self, app, post, clock, kept):
        for n in range(5):
            post({"Idempotency-Key": f"old-{n}"})
        clock.forward(hours=23)
        post()
        clock.forward(hours=1)

        with app.app_context():
            retention.sweep(lambda: clock.now)

        assert [row.expires_at > clock.now for row in kept()] == [True]


class TestKeysOfADay:
    """What is kept of one person in a day has an end, and nobody else is shut out by it."""

    @pytest.fixture(autouse=True)
    def three_a_day(self, monkeypatch, clock):
        monkeypatch.setattr(idempotency, "MOST_A_DAY", 3)

    @pytest.fixture
    def post_with(self, post, clock):
        """`post_with("a", …)`: requests with these keys, an hour after each other."""

        def post_with(*keys, **how):
            answers = []
            for key in keys:
                answers.append(post({"Idempotency-Key": key}, **how))
                clock.forward(hours=1)
            return answers

        return post_with

    def test_one_more_than_there_may_be_does_not_act_and_is_told_when_to_come_again(self, post_with, runs):
        *answers, refused = post_with("a", "b", "c", "d")

        assert [each.status_code for each in answers] == [201] * 3
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_today")
        assert refused.headers["Retry-After"] == str(21 * 60 * 60)
        assert runs == ["a", "b", "c"]

    def test_known_keys_are_answered_and_requests_without_one_act(self, post_with, post):
        post_with("a", "b", "c")

        [again] = post_with("a")
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert post({}).status_code == 201

    def test_others_and_staff_are_not_counted(self, post_with, bob, support):
        post_with("a", "b", "c")

        assert [each.status_code for each in post_with("a", "b", "c", who=bob)] == [201] * 3
        assert [each.status_code for each in post_with("a", "b", "c", "d", who=support)] == [201] * 4

    @pytest.mark.parametrize("hours", [1, 24, 72])
    def test_however_long_answers_are_kept_keys_count_for_a_day(self, app, post_with, clock, hours):
        app.config["KEEP_ANSWERS_HOURS"] = Hours(hours=hours)
        post_with("a", "b", "c")

        clock.forward(hours=21)  # it is a day since the first

        assert [each.status_code for each in post_with("d")] == [201]
