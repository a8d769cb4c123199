from dataclasses import dataclass, field

import pytest

from shopkit.settings import ServiceSettings, SettingsError


@dataclass(frozen=True, kw_only=True)
class Everything(ServiceSettings):
    debug: bool = False
    ratio: float = 0.5
    names: tuple[str, ...] = ()


def test_a_missing_secret_ends_the_start_and_names_itself():
    with pytest.raises(SettingsError, match="SECRET_KEY is missing"):
        ServiceSettings.from_env({})


def test_an_empty_secret_is_a_missing_one():
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        ServiceSettings.from_env({"SECRET_KEY": "  "})


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(SettingsError) as error:
        WithKindsOfItsOwn.from_env({"PORT": "many", "EVEN": "5", "MIGRATE_AT_START": "perhaps"})

    assert sorted(str(error.value).splitlines()) == [
        "EVEN does not make sense: it has to be even.",
        "MIGRATE_AT_START does not make sense as true or false.",
        "PORT does not make sense as a whole number.",
        "SECRET_KEY is missing. Set it in the environment or in .env (see .env.example).",
    ]


def test_values_are_typed():
    settings = Everything.from_env(
        {"SECRET_KEY": "s", "PORT": "7000", "DEBUG": "true", "RATIO": "0.25", "NAMES": "a, b,,c"}
    )

    assert (settings.port, settings.debug, settings.ratio, settings.names) == (7000, True, 0.25, ("a", "b", "c"))


def test_what_is_not_given_has_its_default():
    assert Everything.from_env({"SECRET_KEY": "s", "PORT": ""}).port == 5000


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("PORT", "many", "a whole number"), ("DEBUG", "perhaps", "true or false"), ("RATIO", "half", "a number")],
)
def test_a_value_that_makes_no_sense_names_its_variable_and_keeps_the_value_to_itself(name, value, kind):
    with pytest.raises(SettingsError, match=f"{name} does not make sense as {kind}") as error:
        Everything.from_env({"SECRET_KEY": "s", name: value})
    assert value not in str(error.value)


def test_the_dotenv_file_of_the_folder_is_read_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("SECRET_KEY=from the file\nRATIO=0.75\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    monkeypatch.setenv("RATIO", "0")
    monkeypatch.delenv("RATIO")  # so that monkeypatch removes what the file sets

    settings = Everything.from_env()

    assert (settings.secret_key, settings.ratio) == ("from the environment", 0.75)


def test_settings_do_not_print_their_secrets():
    assert "hidden" not in repr(ServiceSettings(secret_key="hidden", database_uri="postgresql://hidden@host/db"))


class Even(int):
    @classmethod
    def parse(cls, text):
        if int(text) % 2:
            raise ValueError("it has to be even")
        return cls(text)


@dataclass(frozen=True, kw_only=True)
class WithKindsOfItsOwn(ServiceSettings):
    even: Even | None = None
    given_or_made: list = field(default_factory=list)


def test_a_kind_of_its_own_parses_itself_and_says_what_is_wrong():
    assert WithKindsOfItsOwn.from_env({"SECRET_KEY": "s", "EVEN": "4"}).even == 4
    with pytest.raises(SettingsError, match=r"^EVEN does not make sense: it has to be even\.$"):
        WithKindsOfItsOwn.from_env({"SECRET_KEY": "s", "EVEN": "5"})


def test_a_default_may_be_made():
    assert WithKindsOfItsOwn.from_env({"SECRET_KEY": "s"}).given_or_made == []
