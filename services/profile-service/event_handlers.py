"""A profile for everybody who has registered, to be filled in by them."""

from models import Profile
from shop_events import UserRegistered
from shopkit.database import insert_new
from shopkit.events import Subscription


def create_profile(user: UserRegistered) -> None:
    """Somebody may have filled theirs in before we know of them."""
    insert_new(Profile, user_id=user.user_id)


SUBSCRIPTIONS = [Subscription("create_profile", create_profile, [UserRegistered])]
