from pathlib import Path

import pytest

import shop_services
from shop_services import GATEWAY, SERVICES, __main__

ROOT = Path(__file__).parents[2]


def test_every_service_has_a_folder_and_every_folder_is_a_service():
    folders = {str(path.parent.relative_to(ROOT)) for path in [*ROOT.glob("services/*/app.py"), *ROOT.glob("*/app.py")]}

    assert {each.folder for each in (*SERVICES, GATEWAY)} == folders


@pytest.mark.parametrize("attribute", ["name", "title", "port", "address_setting"])
def test_no_two_services_have_the_same(attribute):
    values = [getattr(each, attribute) for each in (*SERVICES, GATEWAY)]

    assert len(set(values)) == len(values)


def test_a_prefix_leads_to_one_service():
    prefixes = [prefix for each in SERVICES for prefix in each.prefixes]

    assert len(set(prefixes)) == len(prefixes)


def test_services_start_after_those_above_them():
    """So that no two wait for each other."""
    above = set()
    for each in (*SERVICES, GATEWAY):
        assert set(each.starts_after) <= above
        above.add(each.name)


def test_an_incomplete_line_is_said():
    with pytest.raises(ValueError, match="8 columns: toy-service Toys 5007"):
        shop_services.read("# a comment\n\ntoy-service Toys 5007\n")


def test_the_compose_file_is_what_the_table_says():
    assert (ROOT / "docker-compose.yml").read_text() == __main__.compose(), "make compose"
