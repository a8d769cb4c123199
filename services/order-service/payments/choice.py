"""Which payment provider the shop has."""

from requests.adapters import BaseAdapter

from payments.provider import PaymentProvider
from payments.sandbox import SandboxProvider
from settings import Settings


def choose_provider(settings: Settings, adapter: BaseAdapter | None = None) -> PaymentProvider:
    """Stripe if there is a key for it, the sandbox otherwise.

    :param adapter: the network, for tests.
    """
    if settings.stripe_api_key:
        from payments.stripe_provider import StripeProvider  # its library is large, and most shops do without

        return StripeProvider(settings, adapter)
    return SandboxProvider(settings)
