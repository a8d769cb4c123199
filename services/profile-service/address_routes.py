import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

from models import Address, add_to_list, db, hold_list, make_default, remove_from_list
from schemas import AddressChange, Addresses, AddressOut, AddressPath, NewAddress
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.idempotency import idempotent
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.transactions import commit_and_show, flush_and_show

addresses = APIBlueprint("addresses", __name__, abp_tags=[Tag(name="address book")])


@addresses.get("/addresses", responses={200: Addresses})
def list_all(query: Page) -> ViewResult:
    """List one's addresses: the default first, then the newest."""
    mine = sa.select(Address).where(Address.user_id == current_user().id)
    return page_of(mine.order_by(Address.is_default.desc(), Address.id.desc()), query, AddressOut)


@addresses.post("/addresses", responses={201: AddressOut})
@idempotent
def add(body: NewAddress) -> ViewResult:
    """Add an address; the first one is the default."""
    address = Address(user_id=current_user().id, **body.model_dump())
    add_to_list(address)
    return flush_and_show(address, AddressOut), 201


@addresses.get("/addresses/<int:address_id>", responses={200: AddressOut})
def show(path: AddressPath) -> ViewResult:
    """Show an address of one's own."""
    return AddressOut.model_validate(_own_address(path))


@addresses.put("/addresses/<int:address_id>", responses={200: AddressOut})
@addresses.patch("/addresses/<int:address_id>", responses={200: AddressOut})
def change(path: AddressPath, body: AddressChange) -> ViewResult:
    """Change an address; what is not sent stays as it is."""
    hold_list(Address, current_user().id)
    address = _own_address(path)
    body.refuse_changes_of(AddressOut.model_validate(address))
    if body.is_default:
        make_default(address)
    for name, value in body.model_dump(exclude_unset=True, exclude={"is_default"}).items():
        setattr(address, name, value)
    return commit_and_show(address, AddressOut)


@addresses.delete("/addresses/<int:address_id>", responses={204: None})
def remove(path: AddressPath) -> ViewResult:
    """Remove an address; was it the default, the newest of the others is it now."""
    hold_list(Address, current_user().id)
    remove_from_list(_own_address(path))
    db.session.commit()
    return "", 204


def _own_address(path: AddressPath) -> Address:
    return fetch_or_404(Address, path.address_id, user_id=current_user().id)
