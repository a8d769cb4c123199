"""An answer is not much larger than what was said: long tickets are shown in part, and nothing is written sixfold."""

import pytest
from pydantic import ValidationError

from shopkit.slots import Slots

LONG = "x" * 5000


@pytest.fixture
def said(client, alice):
    """`said(*texts)`: a ticket in which this was said; how it is shown."""

    def said(*texts):
        first = client.post("/tickets", headers=alice, json={"subject": "A lamp", "message": texts[0]})
        path = f"/tickets/{first.json['id']}"
        for text in texts[1:]:
            assert client.post(f"{path}/messages", headers=alice, json={"message": text}).status_code == 201
        return client.get(path, headers=alice).json

    return said


def test_a_ticket_shows_its_newest_messages_up_to_fifty_thousand_letters(said, client, alice):
    shown = said(*(f"{number:05}{LONG[5:]}" for number in range(12)))

    assert [each["message"][:5] for each in shown["messages"]] == [f"{number:05}" for number in range(2, 12)]
    assert shown["message_count"] == 12
    every = client.get(f"/tickets/{shown['id']}/messages?per_page=100", headers=alice)
    assert (len(every.json), every.headers["X-Total-Count"]) == (12, "12")


def test_of_pages_of_long_messages_one_is_put_together_at_a_time_and_ordinary_ones_never_wait(
    said, client, alice, monkeypatch
):
    import long_pages

    path = f"/tickets/{said(*[LONG] * 21)['id']}/messages"
    slots = Slots(1, 0)
    monkeypatch.setattr(long_pages, "slots", slots)
    with slots:
        refused = client.get(f"{path}?per_page=21", headers=alice)
        ordinary = [
            client.get(f"{path}?{query}", headers=alice) for query in ("per_page=20", "page=2&per_page=20", "page=9")
        ]

    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (503, "busy", "1")
    assert [len(each.json) for each in ordinary] == [20, 1, 0]
    assert len(client.get(path, headers=alice).json) == 21


def test_messages_that_fit_are_all_shown(said):
    assert len(said(*[LONG] * 10)["messages"]) == 10


@pytest.mark.parametrize("letter", ["\0", "\x01", "\x0b", "\x1f"])
def test_what_json_writes_with_six_bytes_is_not_taken_through_either_door(client, alice, letter):
    from schemas import ChatMessage

    over_http = client.post("/tickets", headers=alice, json={"subject": "A lamp", "message": f"a{letter}b"})
    with pytest.raises(ValidationError, match="control character"):
        ChatMessage(ticket_id=1, message=f"a{letter}b")

    assert (over_http.status_code, over_http.json["code"]) == (400, "unreadable_body")


def test_lines_and_tabs_are_taken(said):
    assert said("one\r\n\ttwo")["messages"][0]["message"] == "one\r\n\ttwo"
