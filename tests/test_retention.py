"""Every table of every database has a rule: why its rows stay, or when they go. docs/operations.md lists them."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import shop_services
from shopkit import retention
from shopkit.settings import Days

ROOT = Path(__file__).parents[1]
SERVICES = [each.name.removeprefix("customer-").removesuffix("-service") for each in shop_services.SERVICES]
LISTED = {
    (cells[0], cells[1].strip("`")): cells
    for line in (ROOT / "docs/operations.md").read_text().splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7
    if cells[1].startswith("`")
}


def _folder(name):
    return f"services/{'customer-support' if name == 'support' else name}-service"


@pytest.fixture(params=[*SERVICES, "sandbox"])
def database(request, running_from, make_app, network):
    """The name of a database, its metadata, and the settings of the service that it belongs to."""
    name = "order" if request.param == "sandbox" else request.param
    make_app(_folder(name), network)
    with running_from(_folder(name)):
        settings = import_module("settings").Settings
        if request.param == "sandbox":
            return request.param, import_module("payments.sandbox").ledger.metadata, settings
        return request.param, import_module("models").db.metadata, settings


def test_every_table_has_a_rule(database):
    _, metadata, _ = database

    assert set(metadata.tables) - set(retention.rules_in(metadata)) == set()


def test_every_rule_stands_among_what_operators_read_with_its_setting(database):
    name, metadata, settings = database

    for table, rule in retention.rules_in(metadata).items():
        said = LISTED[name, table]
        assert all(said[:5]), f"{table}: something is not said"
        leading = retention.rules_in(metadata)[rule.table] if isinstance(rule, retention.GoesWith) else rule
        if isinstance(leading, retention.Goes):
            assert said[5] != "stays"
            assert re.fullmatch("`[A-Z_]+`", said[6]), f"{table}: by what is it set?"
        if isinstance(leading, retention.Goes) and leading.setting:
            assert said[6] == f"`{leading.setting.upper()}`"
            kept = getattr(settings, leading.setting)
            assert re.search(rf"\b{kept.days} days", said[5]) or isinstance(rule, retention.GoesWith)


def test_nothing_is_listed_that_is_not_there(database):
    name, metadata, _ = database

    assert {table for listed, table in LISTED if listed == name} == set(metadata.tables)


def test_what_is_swept_is_found_by_an_index(database):
    """Else each step would read the whole table, or a foreign key's check would, for each row."""
    _, metadata, _ = database
    for rule in retention.rules_in(metadata).values():
        if isinstance(rule, retention.Goes):
            for column in (rule.moment, *rule.along):
                assert _leads_an_index(column.expression), f"{column} has no index"
            table = rule.moment.expression.table
            keys = [key for other in metadata.sorted_tables for key in other.foreign_keys if key.references(table)]
            assert [str(key.parent) for key in keys if not _leads_an_index(key.parent)] == []


def test_every_setting_of_how_long_something_is_kept_is_used(database):
    name, metadata, settings = database
    kept = {each for each, default in vars(settings).items() if isinstance(default, Days)}
    used = {rule.setting for rule in retention.rules_in(metadata).values() if isinstance(rule, retention.Goes)}

    if name != "sandbox":
        assert kept == (used - {None}) | ({"keep_answers_hours"} & kept)
        assert ("keep_answers_hours" in kept) == ("idempotency_keys" in metadata.tables)


def _leads_an_index(column):
    table = column.table
    keys = [list(each.columns) for each in (table.primary_key, *table.indexes)]
    return column.name in {columns[0].name for columns in keys}
