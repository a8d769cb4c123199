"""Card numbers, for as long as a request takes: what they say about a card, and the token that stands for one."""

import re
import secrets

UNKNOWN = "unknown"
_BRANDS = {
    "visa": r"4",
    "mastercard": r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720",
    "amex": r"3[47]",
    "discover": r"6011|64[4-9]|65",
}
_TEST_CARDS = {
    "4000000000000002": "card_declined",
    "4000000000009995": "insufficient_funds",
    "4000000000005043": "timeout_charged",
    "4000000000004087": "timeout_not_charged",
}


def digits_of(card_number: str) -> str:
    """The number without the spaces and dashes that people write between its groups."""
    return re.sub(r"[ -]", "", card_number)


def is_card_number(text: str) -> bool:
    digits = digits_of(text)
    return re.fullmatch(r"[0-9]{12,19}", digits) is not None and _luhn_sum(digits) % 10 == 0


def brand_of(digits: str) -> str:
    return next((brand for brand, prefix in _BRANDS.items() if re.match(prefix, digits)), UNKNOWN)


def sandbox_token(digits: str) -> str:
    """What the sandbox knows the card by; it says how paying with it will end."""
    return f"sandbox_{_TEST_CARDS.get(digits, 'succeeds')}_{secrets.token_hex(16)}"


def _luhn_sum(digits: str) -> int:
    backwards = [int(digit) for digit in reversed(digits)]
    return sum(backwards[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in backwards[1::2])
