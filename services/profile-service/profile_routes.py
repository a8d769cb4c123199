from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import IntegrityError

from models import Profile, db
from schemas import ProfileChange, ProfileFields, ProfileOut
from shopkit.auth import current_user
from shopkit.service import Answer

profiles = APIBlueprint("profiles", __name__, abp_tags=[Tag(name="profile")])


@profiles.get("/profile", responses={200: ProfileOut})
def show() -> Answer:
    """Show one's profile; it is empty until something is written into it."""
    profile = db.session.get(Profile, current_user().id)
    return _shown(ProfileFields.model_validate(profile) if profile else ProfileFields())


@profiles.put("/profile", responses={200: ProfileOut})
def change(body: ProfileChange) -> Answer:
    """Change one's profile; what is not sent stays as it is."""
    try:
        return _shown(_changed(body))
    except IntegrityError:  # it was the first change, and another first one came in between
        db.session.rollback()
        return _shown(_changed(body))


def _changed(body: ProfileChange) -> ProfileFields:
    user_id = current_user().id
    profile = db.session.get(Profile, user_id) or Profile(user_id=user_id)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(profile, name, value)
    db.session.add(profile)
    db.session.flush()
    changed = ProfileFields.model_validate(profile)
    db.session.commit()
    return changed


def _shown(fields: ProfileFields) -> ProfileOut:
    me = current_user()
    return ProfileOut(user_id=me.id, username=me.username, email=me.email, **fields.model_dump())
