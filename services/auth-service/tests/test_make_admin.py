"""The command by which a shop gets its staff."""

import io
import sys

import pytest
import sqlalchemy as sa

PASSWORD = "a long password"


@pytest.fixture
def appoint(seeded):
    """`appoint("carol", "admin", email=…)` as the command does; a password is typed when it is asked for."""
    import make_admin

    asked = []

    def appoint(name, role="admin", typed=PASSWORD, **how):
        with seeded.app_context():
            return make_admin.appoint(name, role, ask=lambda: asked.append(name) or typed, **how)

    appoint.asked = asked
    return appoint


@pytest.fixture
def sign_in(client):
    return lambda name, password=PASSWORD: client.post("/login", json={"username": name, "password": password})


@pytest.mark.parametrize("role", ["admin", "support", "customer"])
def test_an_account_that_is_not_there_is_opened_and_told_of(appoint, sign_in, seeded, role):
    import models

    said = appoint("carol", role, email="carol@example.com")

    assert said == f"carol has an account now, and is {role}."
    user = sign_in("carol").json["user"]
    assert (user["role"], user["email"]) == (role, "carol@example.com")
    outbox = models.db.metadata.tables["outbox"]
    with seeded.app_context():
        events = [(row.name, row.payload) for row in models.db.session.execute(sa.select(outbox))]
    assert events == [("user.registered", {"user_id": user["id"], "username": "carol"})]


@pytest.mark.parametrize("name", ["bob", "BOB", "bob@example.com"])
def test_an_account_that_is_there_gets_the_role_and_keeps_its_password(appoint, sign_in, name):
    assert appoint(name).startswith("bob is admin now, and was customer.")
    assert appoint(name).startswith("bob is admin already.")
    assert appoint(name, "customer") == "bob is customer now, and was admin."

    assert appoint.asked == []
    assert sign_in("bob", "password123").status_code == 200


def test_a_role_holds_from_the_next_request_on(appoint, sign_in, client):
    session = sign_in("bob", "password123").json

    for role in ("support", "customer"):
        appoint("bob", role)
        who = client.post("/validate", headers={"Authorization": f"Bearer {session['access_token']}"})
        assert who.json["user"]["role"] == role


def test_a_new_password_is_asked_for_on_request(appoint, sign_in):
    assert appoint("bob", new_password=True).endswith("The password is the new one.")

    assert appoint.asked == ["bob"]
    assert sign_in("bob").status_code == 200
    assert sign_in("bob", "password123").status_code == 401


def test_staff_with_the_password_that_everybody_knows_is_warned_of(appoint):
    assert "everybody knows the password" in appoint("bob")
    assert "everybody knows" not in appoint("bob", new_password=True)
    assert "everybody knows" not in appoint("alice", "customer")


@pytest.mark.parametrize(
    ("name", "how", "reason"),
    [
        ("carol", {}, "--email"),
        ("carol", {"email": "nobody"}, "email"),
        ("c", {"email": "carol@example.com"}, "username"),
        ("carol", {"email": "carol@example.com", "typed": "short"}, "password: must have 8 to 128 characters"),
        ("carol", {"email": "alice@example.com"}, "This email already exists."),
        ("bob", {"email": "carol@example.com"}, "another e-mail address"),
        ("bob", {"new_password": True, "typed": "short"}, "password: must have 8 to 128 characters"),
    ],
)
def test_the_rules_are_those_of_registration_and_what_breaks_them_changes_nothing(
    appoint, sign_in, seeded, name, how, reason
):
    import models
    from shopkit.errors import ShopError

    def accounts():
        with seeded.app_context():
            columns = models.User.username, models.User.role, models.User.password_hash
            return models.db.session.execute(sa.select(*columns).order_by(models.User.id)).all()

    before = accounts()

    with pytest.raises(ShopError, match=reason):
        appoint(name, **how)

    assert accounts() == before


def test_a_password_is_typed_twice(monkeypatch):
    import make_admin
    from shopkit.errors import Invalid

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    typed = iter(["the same", "the same", "one", "another", "one", EOFError(), KeyboardInterrupt()])

    def getpass(_):
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(make_admin, "getpass", getpass)

    assert make_admin._ask_for_password() == "the same"
    with pytest.raises(Invalid, match="two different passwords"):
        make_admin._ask_for_password()
    for _ in range(2):
        with pytest.raises(Invalid, match="No password was given"):
            make_admin._ask_for_password()


def test_without_a_terminal_the_password_is_a_line_of_standard_input(monkeypatch):
    import make_admin

    monkeypatch.setattr(sys, "stdin", io.StringIO("  spaces count \nthe rest\n"))

    assert make_admin._ask_for_password() == "  spaces count "


@pytest.mark.parametrize("line", [b"with a NUL \0 in it", b"latin-1: \xe9\xe8\xea\xe7"])
def test_a_password_that_nobody_could_send_is_refused(monkeypatch, line):
    import make_admin
    from shopkit.errors import Invalid

    standard_input = io.TextIOWrapper(io.BytesIO(line), encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdin", standard_input)

    with pytest.raises(Invalid, match="password"):
        make_admin._ask_for_password()


def test_no_password_is_taken_as_an_argument(capsys):
    import make_admin

    with pytest.raises(SystemExit):
        make_admin._parse(["carol", "--password", "a long password"])
    assert "unrecognized arguments" in capsys.readouterr().err
