import pytest

REGISTERED = {
    "id": "7c0ac1de-0f43-4a4e-8a30-4e5f0f6f9a01",
    "name": "user.registered",
    "occurred_at": "2026-03-01T12:00:00Z",
    "payload": {"user_id": 99, "username": "newcomer"},
}


@pytest.fixture
def hear(client, service):
    """Hear that the newcomer has registered."""

    def hear(**changes):
        response = client.post("/internal/events", json={**REGISTERED, **changes}, headers=service)
        assert response.status_code == 204, response.text

    return hear


@pytest.fixture
def profiles(app):
    """Whose profiles there are."""
    import sqlalchemy as sa

    import models

    def profiles():
        with app.app_context():
            return list(models.db.session.scalars(sa.select(models.Profile.user_id)))

    return profiles


def test_who_registers_has_an_empty_profile(hear, profiles, client, newcomer):
    hear()

    assert profiles() == [99]
    shown = client.get("/profile", headers=newcomer).json
    assert (shown.pop("user_id"), shown.pop("username"), shown.pop("email")) == (99, "newcomer", "newcomer@example.com")
    assert set(shown.values()) == {""}


def test_hearing_it_again_changes_nothing(hear, profiles, client, newcomer):
    hear()
    client.put("/profile", json={"city": "Berlin"}, headers=newcomer)
    hear()
    hear(id="7c0ac1de-0f43-4a4e-8a30-4e5f0f6f9a02")

    assert profiles() == [99]
    assert client.get("/profile", headers=newcomer).json["city"] == "Berlin"


def test_who_was_faster_keeps_what_they_wrote(hear, client, newcomer):
    client.put("/profile", json={"city": "Berlin"}, headers=newcomer)
    hear()

    assert client.get("/profile", headers=newcomer).json["city"] == "Berlin"
