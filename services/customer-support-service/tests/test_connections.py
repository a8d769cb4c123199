import json
import re

import pytest

OPENING = "/socket.io/?EIO=4&transport=polling"
NAMED = r"5ca1ab1e\.[\w-]{20}"
UNNAMED = r"[\w-]{20}"


def _new_session(client, **headers):
    return json.loads(client.get(OPENING, headers=headers).text[1:])["sid"]


def test_a_session_id_begins_with_the_name_that_the_gateway_has_for_this_instance(client):
    assert re.fullmatch(NAMED, _new_session(client, X_Upstream="5ca1ab1e"))


def test_such_a_session_goes_on_like_any_other(client):
    session = f"{OPENING}&sid={_new_session(client, X_Upstream='5ca1ab1e')}"

    connected = client.post(session, data='40{"token":"alice"}', headers={"X-Upstream": "5ca1ab1e"})
    heard = client.get(session, headers={"X-Upstream": "5ca1ab1e"})

    assert (connected.status_code, heard.text[:7]) == (200, '40{"sid')


@pytest.mark.parametrize("name", ["", "5ca1ab1", "5ca1ab1e5", "5CA1AB1E", "5ca1ab1g", "../../.."])
def test_what_is_no_such_name_stands_in_no_session_id(client, name):
    assert re.fullmatch(UNNAMED, _new_session(client, X_Upstream=name))


def test_one_request_does_not_name_the_session_of_the_next(client):
    _new_session(client, X_Upstream="5ca1ab1e")

    assert re.fullmatch(UNNAMED, _new_session(client))
