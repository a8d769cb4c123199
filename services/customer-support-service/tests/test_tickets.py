import pytest

QUESTION = {"subject": "A lamp", "message": "Is it dimmable?"}


@pytest.fixture
def ticket(client, alice):
    """A ticket of alice's."""
    return client.post("/tickets", headers=alice, json=QUESTION).json


@pytest.fixture
def say(app, ticket):
    """Write so many messages into the ticket: 0, 1, 2 …"""
    from models import Message, db

    def say(many):
        with app.app_context():
            for number in range(many):
                said = Message(ticket_id=ticket["id"], user_id=1, username="alice", is_staff=False, message=f"{number}")
                db.session.add(said)
            db.session.commit()

    return say


def test_who_asks_gets_an_open_ticket_with_the_message_in_it(client, alice):
    response = client.post("/tickets", headers=alice, json=QUESTION)

    assert response.status_code == 201
    ticket = response.json
    assert (ticket["subject"], ticket["status"], ticket["closed_at"]) == ("A lamp", "open", None)
    assert (ticket["user_id"], ticket["username"]) == (1, "alice")
    assert ticket["created_at"] == ticket["updated_at"]
    [message] = ticket["messages"]
    assert message.keys() == {"id", "ticket_id", "user_id", "username", "is_staff", "message", "created_at"}
    assert (message["ticket_id"], message["message"]) == (ticket["id"], "Is it dimmable?")
    assert (message["username"], message["is_staff"]) == ("alice", False)
    assert message["created_at"].endswith("Z")


def test_of_a_long_ticket_the_newest_messages_are_shown_and_all_can_be_paged_through(client, alice, ticket, say):
    say(149)
    path = f"/tickets/{ticket['id']}"

    shown = client.get(path, headers=alice).json
    pages = [client.get(f"{path}/messages?page={page}", headers=alice) for page in (1, 2, 3, 4)]

    assert shown["message_count"] == 150
    assert [each["message"] for each in shown["messages"]] == [str(number) for number in range(49, 149)]
    assert [len(page.json) for page in pages] == [50, 50, 50, 0]
    assert pages[0].headers["X-Total-Count"] == "150"
    assert [pages[0].json[0]["message"], pages[2].json[-1]["message"]] == ["148", QUESTION["message"]]


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_long_ticket_that_is_closed_is_not_shown_whole_either(client, alice, ticket, say, method):
    say(120)

    closed = getattr(client, method)(f"/tickets/{ticket['id']}/close", headers=alice).json

    assert (len(closed["messages"]), closed["message_count"]) == (100, 121)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", ""),
        ("subject", "   "),
        ("subject", "x" * 201),
        ("subject", None),
        ("message", ""),
        ("message", "x" * 5001),
        ("message", 5),
        ("user_id", 2),
    ],
)
def test_a_field_that_does_not_validate_is_named(client, alice, field, value):
    response = client.post("/tickets", headers=alice, json={**QUESTION, field: value})

    assert response.status_code == 422
    assert [error["field"] for error in response.json["errors"]] == [field]


def test_the_longest_subject_and_message_fit(client, alice):
    response = client.post("/tickets", headers=alice, json={"subject": "ä" * 200, "message": "ä" * 5000})

    assert response.status_code == 201


def test_a_ticket_shows_its_messages_in_order(client, alice, support, ticket):
    path = f"/tickets/{ticket['id']}"
    client.post(f"{path}/messages", headers=support, json={"message": "Yes."})
    client.post(f"{path}/messages", headers=alice, json={"message": "Thank you!"})

    shown = client.get(path, headers=alice).json

    assert [message["message"] for message in shown["messages"]] == ["Is it dimmable?", "Yes.", "Thank you!"]
    assert [message["is_staff"] for message in shown["messages"]] == [False, True, False]


def test_a_question_that_is_sent_twice_with_one_key_is_asked_once(client, alice):
    first, second = (
        client.post("/tickets", headers={**alice, "Idempotency-Key": "a-click"}, json=QUESTION) for _ in range(2)
    )

    assert (first.status_code, second.status_code, second.data) == (201, 201, first.data)
    assert len(client.get("/tickets", headers=alice).json) == 1


def test_a_message_that_is_sent_twice_with_one_key_is_said_once(client, alice, ticket):
    path = f"/tickets/{ticket['id']}"
    headers = {**alice, "Idempotency-Key": "a-click"}

    first, second = (client.post(f"{path}/messages", headers=headers, json={"message": "Hello?"}) for _ in range(2))

    assert (first.status_code, second.status_code, second.data) == (201, 201, first.data)
    messages = client.get(path, headers=alice).json["messages"]
    assert [message["message"] for message in messages] == ["Is it dimmable?", "Hello?"]


def test_the_ticket_with_the_newest_activity_comes_first(client, alice, ticket):
    other = client.post("/tickets", headers=alice, json=QUESTION).json
    client.post(f"/tickets/{ticket['id']}/messages", headers=alice, json={"message": "Anybody there?"})

    listed = client.get("/tickets", headers=alice)

    assert [each["id"] for each in listed.json] == [ticket["id"], other["id"]]
    assert [each["message_count"] for each in listed.json] == [2, 1]
    assert "messages" not in listed.json[0]
    assert listed.headers["X-Total-Count"] == "2"


def test_tickets_come_in_pages(client, alice):
    for _ in range(3):
        client.post("/tickets", headers=alice, json=QUESTION)

    second = client.get("/tickets?per_page=2&page=2", headers=alice)

    assert len(second.json) == 1
    assert second.headers["X-Total-Count"] == "3"
    assert 'rel="prev"' in second.headers["Link"]


@pytest.mark.parametrize(
    ("status", "names"), [("open", ["alice"]), ("closed", ["bob"]), ("CLOSED", ["bob"]), ("Open", ["alice"])]
)
def test_tickets_can_be_asked_for_by_status(seeded, client, support, status, names):
    listed = client.get(f"/tickets?status={status}", headers=support)

    assert [ticket["username"] for ticket in listed.json] == names


@pytest.mark.parametrize("query", ["status=lost", "page=0", "per_page=101"])
def test_a_query_that_makes_no_sense_is_a_422(client, alice, query):
    assert client.get(f"/tickets?{query}", headers=alice).status_code == 422


def test_customers_see_their_own_tickets_and_staff_all(seeded, client, alice, newcomer, support, admin):
    def names(who):
        return {ticket["username"] for ticket in client.get("/tickets", headers=who).json}

    assert names(alice) == {"alice"}
    assert names(newcomer) == set()
    assert names(support) == names(admin) == {"alice", "bob"}


@pytest.mark.parametrize("staff", ["support", "admin"])
def test_staff_may_see_answer_and_close_every_ticket(client, request, ticket, staff):
    headers, path = request.getfixturevalue(staff), f"/tickets/{ticket['id']}"

    answer = client.post(f"{path}/messages", headers=headers, json={"message": "Yes."})

    assert (answer.status_code, answer.json["is_staff"]) == (201, True)
    assert client.get(path, headers=headers).status_code == 200
    assert client.put(f"{path}/close", headers=headers).json["status"] == "closed"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/tickets/{}", None),
        ("GET", "/tickets/{}/messages", None),
        ("POST", "/tickets/{}/messages", {"message": "Me too!"}),
        ("PUT", "/tickets/{}/close", None),
        ("POST", "/tickets/{}/close", None),
    ],
)
class TestTicketsOutOfReach:
    def test_somebody_elses_is_a_404(self, client, bob, ticket, method, path, body):
        response = client.open(path.format(ticket["id"]), method=method, headers=bob, json=body)

        assert (response.status_code, response.json["code"]) == (404, "not_found")

    def test_an_absent_one_is_a_404_for_staff_too(self, client, support, method, path, body):
        response = client.open(path.format(12345), method=method, headers=support, json=body)

        assert response.status_code == 404

    def test_without_a_token_it_is_a_401(self, client, ticket, method, path, body):
        response = client.open(path.format(ticket["id"]), method=method, json=body)

        assert response.status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_token_nothing_is_listed_or_opened(client, method):
    assert client.open("/tickets", method=method, json=QUESTION).status_code == 401


def test_a_service_has_no_business_here(client, service):
    assert client.get("/tickets", headers=service).status_code == 403


def test_a_message_that_does_not_validate_changes_nothing(client, alice, ticket):
    response = client.post(f"/tickets/{ticket['id']}/messages", headers=alice, json={"message": " "})

    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "message")
    assert client.get(f"/tickets/{ticket['id']}", headers=alice).json == ticket


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_closing_says_when_and_closing_again_changes_nothing(client, alice, ticket, method):
    first = client.open(f"/tickets/{ticket['id']}/close", method=method, headers=alice)
    again = client.open(f"/tickets/{ticket['id']}/close", method=method, headers=alice)

    assert (first.status_code, first.json["status"]) == (200, "closed")
    assert first.json["closed_at"] == first.json["updated_at"] > ticket["updated_at"]
    assert again.status_code == 200
    assert again.json == first.json


def test_a_reply_opens_a_closed_ticket_again(client, alice, ticket):
    path = f"/tickets/{ticket['id']}"
    client.put(f"{path}/close", headers=alice)

    client.post(f"{path}/messages", headers=alice, json={"message": "One more thing …"})

    shown = client.get(path, headers=alice).json
    assert (shown["status"], shown["closed_at"], len(shown["messages"])) == ("open", None, 2)


def test_the_demonstration_has_an_open_ticket_and_a_closed_one(seeded, client, alice, bob):
    alices = client.get("/tickets/1", headers=alice).json
    [bobs] = client.get("/tickets", headers=bob).json

    assert (alices["status"], [m["username"] for m in alices["messages"]]) == ("open", ["alice", "support", "alice"])
    assert (bobs["status"], bobs["message_count"]) == ("closed", 2)
    assert bobs["closed_at"]


def test_seeding_twice_changes_nothing(seeded, client, support):
    import seed

    with seeded.app_context():
        seed.seed()

    assert len(client.get("/tickets", headers=support).json) == 2


def test_the_ids_of_a_deleted_ticket_and_its_messages_are_not_given_again(app, client, alice, ticket):
    import models

    with app.app_context():
        for model in (models.Message, models.Ticket):
            models.db.session.execute(models.sa.delete(model))
        models.db.session.commit()

    new = client.post("/tickets", headers=alice, json=QUESTION).json
    assert new["id"] > ticket["id"]
    assert new["messages"][0]["id"] > ticket["messages"][0]["id"]
