"""The profiles, addresses and payment methods of the demonstration's two customers."""

from models import Address, PaymentMethod, Profile, add_to_list, db
from settings import SANDBOX
from shopkit.seeding import fills, main

ALICE, BOB = 1, 2
AT_ALICES = {
    "phone": "555-123-4567",
    "address_line1": "12 Harbour Street",
    "address_line2": "Apartment 3",
    "city": "Portland",
    "state": "OR",
    "postal_code": "97201",
    "country": "United States",
}
AT_WORK = {**AT_ALICES, "address_line1": "400 Mill Road", "address_line2": "Reception", "postal_code": "97204"}
AT_BOBS = {
    "phone": "+1 (555) 987-6543",
    "address_line1": "7 Orchard Lane",
    "city": "Burlington",
    "state": "VT",
    "postal_code": "05401",
    "country": "United States",
}


@fills(Profile)
def seed() -> None:
    """Add them to an empty database; the payment method with the id 1 is Alice's, number 2 is Bob's."""
    db.session.add(Profile(user_id=ALICE, first_name="Alice", last_name="Anderson", **AT_ALICES))
    db.session.add(Profile(user_id=BOB, first_name="Bob", last_name="Brown", **AT_BOBS))
    add_to_list(Address(user_id=ALICE, label="Home", recipient="Alice Anderson", **AT_ALICES))
    add_to_list(Address(user_id=ALICE, label="Work", recipient="Alice Anderson", **AT_WORK))
    add_to_list(Address(user_id=BOB, label="Home", recipient="Bob Brown", **AT_BOBS))
    add_to_list(_card(ALICE, "visa", "4242", "Alice Anderson"))
    add_to_list(_card(BOB, "mastercard", "4444", "Bob Brown"))


def _card(user_id: int, brand: str, last_four: str, cardholder_name: str) -> PaymentMethod:
    return PaymentMethod(
        user_id=user_id,
        provider=SANDBOX,
        provider_token=f"sandbox_succeeds_{user_id:032x}",
        brand=brand,
        last_four=last_four,
        exp_month=12,
        exp_year=2035,
        cardholder_name=cardholder_name,
    )


if __name__ == "__main__":
    main()
