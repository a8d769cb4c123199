import sqlalchemy as sa
from flask_openapi3 import APIBlueprint, Tag

import cards
from models import PaymentMethod, add_to_list, db, hold_list, remove_from_list
from schemas import (
    NewCard,
    NewProviderCard,
    OwnerQuery,
    PaymentMethodOut,
    PaymentMethodPath,
    PaymentMethods,
    ProviderCardOut,
)
from settings import SANDBOX
from shopkit.auth import current_user
from shopkit.database import fetch_or_404
from shopkit.idempotency import idempotent
from shopkit.paging import Page, page_of
from shopkit.service import ViewResult
from shopkit.transactions import flush_and_show


def payment_methods(provider: str) -> APIBlueprint:
    """Only the sandbox takes card numbers; with a real provider they never reach us, only its tokens do."""
    api = APIBlueprint("payment_methods", __name__, abp_tags=[Tag(name="payment methods")])
    one = "/payment-methods/<int:payment_method_id>"

    @idempotent
    def add_provider_card(body: NewProviderCard) -> ViewResult:
        """Add a card by the token that the payment provider knows it by; the first one is the default."""
        return _added(body.model_dump(), provider=provider)

    add = add_card if provider == SANDBOX else add_provider_card
    api.get("/payment-methods", responses={200: PaymentMethods})(list_all)
    api.post("/payment-methods", responses={201: PaymentMethodOut})(add)
    api.delete(one, responses={204: None})(remove)
    api.get(f"/internal{one}", responses={200: ProviderCardOut})(show_to_services)
    return api


def list_all(query: Page) -> ViewResult:
    """List one's payment methods: the default first, then the newest."""
    mine = sa.select(PaymentMethod).where(PaymentMethod.user_id == current_user().id)
    return page_of(mine.order_by(PaymentMethod.is_default.desc(), PaymentMethod.id.desc()), query, PaymentMethodOut)


@idempotent
def add_card(body: NewCard) -> ViewResult:
    """Add a card by its number, which the sandbox trades for a token; the first one is the default."""
    digits = body.card_number.get_secret_value()
    return _added(
        body.model_dump(exclude={"card_number", "cvc"}),
        provider=SANDBOX,
        brand=cards.brand_of(digits),
        last_four=digits[-4:],
        provider_token=cards.sandbox_token(digits),
    )


def remove(path: PaymentMethodPath) -> ViewResult:
    """Remove a payment method; was it the default, the newest of the others is it now."""
    user_id = current_user().id
    hold_list(PaymentMethod, user_id)
    remove_from_list(fetch_or_404(PaymentMethod, path.payment_method_id, user_id=user_id))
    db.session.commit()
    return "", 204


def show_to_services(path: PaymentMethodPath, query: OwnerQuery) -> ViewResult:
    """Say how the provider knows a person's payment method. Internal: the gateway does not route it."""
    return ProviderCardOut.model_validate(fetch_or_404(PaymentMethod, path.payment_method_id, user_id=query.user_id))


def _added(card: dict[str, object], **known_to_us: str) -> ViewResult:
    payment_method = PaymentMethod(user_id=current_user().id, **card, **known_to_us)
    add_to_list(payment_method)
    return flush_and_show(payment_method, PaymentMethodOut), 201
