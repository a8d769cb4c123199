"""A profile for everybody who has registered, to be filled in by them."""

from models import Profile
from shopkit.database import insert_new
from shopkit.events import Event


def create_profile(event: Event) -> None:
    """Somebody may have filled theirs in before we hear of them."""
    insert_new(Profile, user_id=event.payload["user_id"])
