from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import IntegrityError

from models import Profile, db
from schemas import ProfileChange, ProfileFields, ProfileOut
from shopkit.auth import current_user
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show

profiles = APIBlueprint("profiles", __name__, abp_tags=[Tag(name="profile")])


@profiles.get("/profile", responses={200: ProfileOut})
def show() -> ViewResult:
    """Show one's profile; it is empty until something is written into it."""
    return _shown(_fields_of(db.session.get(Profile, current_user().id)))


@profiles.put("/profile", responses={200: ProfileOut})
@profiles.patch("/profile", responses={200: ProfileOut})
def change(body: ProfileChange) -> ViewResult:
    """Change one's profile; what is not sent stays as it is."""
    try:
        return _changed(body)
    except IntegrityError:  # it was the first change, and another first one came in between
        db.session.rollback()
        return _changed(body)


def _changed(body: ProfileChange) -> ProfileOut:
    user_id = current_user().id
    profile = db.session.get(Profile, user_id)
    body.refuse_changes_of(_shown(_fields_of(profile)))
    profile = profile or Profile(user_id=user_id)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(profile, name, value)
    db.session.add(profile)
    return _shown(commit_and_show(profile, ProfileFields))


def _fields_of(profile: Profile | None) -> ProfileFields:
    return ProfileFields.model_validate(profile) if profile else ProfileFields()


def _shown(fields: ProfileFields) -> ProfileOut:
    me = current_user()
    return ProfileOut(user_id=me.id, username=me.username, email=me.email, **fields.model_dump())
