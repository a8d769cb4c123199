import pytest


@pytest.fixture(autouse=True)
def _patient_slots(monkeypatch):
    """Nobody is sent away because the machine that runs the tests is busy; tests of that have slots of their own."""
    import hashing
    from shopkit.slots import Slots

    monkeypatch.setattr(hashing, "_slots", Slots(hashing.AT_ONCE, hashing.PLACES, 60))
