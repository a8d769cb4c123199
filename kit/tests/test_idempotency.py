import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask, current_app
from flask_openapi3 import APIBlueprint
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from shopkit import background, idempotency
from shopkit.auth import ADMIN, only
from shopkit.database import new_database
from shopkit.errors import Conflict, NotFound, NotSignedIn, Unavailable, UpstreamTimeout
from shopkit.http_client import ServiceClient
from shopkit.idempotency import current_key, idempotent
from shopkit.schemas import Input, Output
from shopkit.service import Answer, create_service

db = new_database()
idempotency.keep_keys(db)
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
PARTNER = "http://127.0.0.1:5999"


class Thing(db.Model):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


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
    def make(body: NewThing) -> Answer:
        """Make a thing."""
        current_app.config["ACT"]()
        thing = Thing(name=body.name)
        db.session.add(thing)
        db.session.commit()
        answer = current_app.make_response((ThingOut.model_validate(thing).model_dump(), 201))
        answer.headers.update({"Location": f"/things/{thing.id}", "Link": '</things>; rel="up"', "X-Other": "not kept"})
        return answer

    @things.post("/other-things", responses={201: ThingOut})
    @idempotent
    def make_other(body: NewThing) -> Answer:
        """Make a thing of another kind."""
        current_app.config["ACT"]()
        return ThingOut(id=0, name=body.name), 201

    @things.post("/things/<int:thing_id>", responses={204: None})
    @things.delete("/things/<int:thing_id>", responses={204: None})
    @idempotent
    def wipe(path: ThingPath) -> Answer:
        """Wipe a thing."""
        current_app.config["ACT"]()
        return "", 204

    @things.post("/secrets")
    def unmarked(body: NewThing) -> Answer:
        """Make something whose answer is not kept."""
        current_app.config["ACT"]()
        return ThingOut(id=0, name=str(current_key()))

    @things.post("/admin-things")
    @only(ADMIN)
    @idempotent
    def for_admins(body: NewThing) -> Answer:
        """Make a thing of the admins'."""
        return ThingOut(id=0, name=str(current_key()))

    return things


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
    from shopkit.settings import Settings

    return Settings(secret_key="a secret", database_uri=database_uri)


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
    def test_an_answer_that_asks_for_another_try_frees_the_key(self, app, post, runs, kept, error):
        runs.act = _raise(error)
        assert post().status_code in (401, 409, 429, 503, 504)
        assert kept() == []

        runs.act = lambda: None
        answer = post()

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers
        assert _things(app) == 1

    def test_a_bug_frees_the_key(self, post, runs, kept):
        runs.act = _raise(ZeroDivisionError())

        assert post().status_code == 500
        assert kept() == []

    def test_after_a_failure_the_key_may_come_with_another_body(self, post, runs):
        runs.act = _raise(Unavailable("Later."))
        post()
        runs.act = lambda: None

        assert post(name="table").status_code == 201


class TestRunning:
    def test_meanwhile_the_second_is_told_to_ask_again(self, app, post, runs, alice):
        seen = []

        def again():
            runs.act = lambda: None
            seen.append(app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY}))
            seen.append(app.test_client().post("/things", json={"name": "table"}, headers={**alice, **KEY}))

        runs.act = again

        assert post().status_code == 201
        assert [(each.status_code, each.json["code"]) for each in seen] == [
            (409, "idempotency_key_in_use"),
            (422, "idempotency_key_reused"),
        ]
        assert seen[0].headers["Retry-After"] == "1"
        assert len(runs) == 1

    def test_of_twenty_at_once_one_acts(self, app, runs, alice, post):
        runs.act = lambda: time.sleep(0.3)

        def request(_):
            return app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY})

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(request, range(20)))

        assert len(runs) == _things(app) == 1
        done = [each for each in answers if each.status_code == 201]
        waiting = [each for each in answers if each.status_code == 409]
        assert len(done) + len(waiting) == 20
        assert {each.data for each in [*done, post()]} == {done[0].data}
        assert {each.json["code"] for each in waiting} <= {"idempotency_key_in_use"}

    def test_who_does_not_come_back_keeps_the_key_until_the_lease_ends(self, post, runs, clock):
        _die(post, runs)
        runs.act = lambda: None

        assert post().json["code"] == "idempotency_key_in_use"
        clock.forward(seconds=60)
        assert post(name="table").json["code"] == "idempotency_key_reused"
        assert post().status_code == 201
        assert post().headers["Idempotent-Replayed"] == "true"
        assert len(runs) == 2

    def test_of_twenty_who_take_over_one_acts(self, app, post, runs, clock, alice):
        _die(post, runs)
        runs.act = lambda: time.sleep(0.3)
        clock.forward(seconds=60)

        def request(_):
            return app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY}).status_code

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(request, range(20))) <= {201, 409}

        assert _things(app) == 1

    @pytest.mark.parametrize("slow_ends", [lambda: None, _raise(Unavailable("Later."))])
    def test_who_comes_back_too_late_changes_nothing(self, app, post, runs, clock, alice, slow_ends):
        """The slow one's client has its own answer; whoever took over decides what is repeated."""
        fast = []

        def slow():
            clock.forward(seconds=61)
            runs.act = lambda: None
            fast.append(app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY}))
            slow_ends()

        runs.act = slow

        slow_answer = post()

        assert fast[0].status_code == 201
        assert slow_answer.data != fast[0].data
        assert post().data == fast[0].data

    def test_an_answer_that_cannot_be_kept_is_given_all_the_same(self, post, runs, monkeypatch, clock, caplog):
        with monkeypatch.context() as broken:
            broken.setattr(idempotency, "_delete_expired", _raise_locked)
            assert post().status_code == 201

        assert "was not kept" in caplog.text
        assert post().json["code"] == "idempotency_key_in_use"
        clock.forward(seconds=60)
        assert post().status_code == 201


def _die(post, runs):
    """The process ends in the view: nothing below `Exception` is caught on the way out."""
    runs.act = _raise(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        post()


def _raise_locked(_):
    raise OperationalError("DELETE", {}, Exception("database is locked"))


class TestExpiry:
    def test_a_key_is_kept_for_a_day(self, post, runs, clock):
        post()

        clock.forward(hours=24, seconds=-1)
        assert post().headers["Idempotent-Replayed"] == "true"
        clock.forward(seconds=1)
        assert "Idempotent-Replayed" not in post(name="table").headers
        assert post(name="table").headers["Idempotent-Replayed"] == "true"
        assert len(runs) == 2

    def test_while_a_key_is_used_anew_the_old_answer_is_not_repeated(self, app, post, runs, clock, alice):
        post()
        clock.forward(hours=24)
        seen = []

        def again():
            seen.append(app.test_client().post("/things", json={"name": "lamp"}, headers={**alice, **KEY}))

        runs.act = again

        assert post().status_code == 201
        assert seen[0].json["code"] == "idempotency_key_in_use"

    def test_a_new_key_takes_some_expired_ones_with_it(self, post, clock, kept, monkeypatch):
        monkeypatch.setattr(idempotency, "_IN_PASSING", 2)
        for n in range(3):
            post({"Idempotency-Key": f"old-{n}"})
        clock.forward(hours=25)

        post()

        assert [row.expires_at > clock.now for row in kept()] == [False, True]

    def test_the_job_deletes_all_that_have_expired(self, app, post, clock, kept, monkeypatch):
        monkeypatch.setattr(idempotency, "_AT_ONCE", 2)
        for n in range(5):
            post({"Idempotency-Key": f"old-{n}"})
        clock.forward(hours=23)
        post()
        clock.forward(hours=1)

        with app.app_context():
            idempotency.delete_expired()

        assert [row.expires_at > clock.now for row in kept()] == [True]

    def test_the_job_runs_every_hour_where_there_is_something_to_delete(self, app):
        assert background.Job(idempotency.delete_expired, 3600) in app.extensions["jobs"]

        without = Flask("without")
        idempotency.init_app(without, new_database())

        assert "jobs" not in without.extensions
