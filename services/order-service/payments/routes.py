"""The route at which administrators compare the orders with the payments."""

from datetime import timedelta

from flask_openapi3 import APIBlueprint

from payments import reconciliation
from payments.provider import PaymentProvider
from payments.schemas import PaymentReconciliationOut, ReconciliationQuery
from shopkit.auth import ADMIN, only
from shopkit.database import now
from shopkit.service import ViewResult
from shopkit.slots import Slots

reconciling = Slots(1, places=2)  # it takes a tenth of a second, and longer the more orders there are


def add_reconciliation(api: APIBlueprint, provider: PaymentProvider) -> None:
    @api.get("/orders/reconciliation", responses={200: PaymentReconciliationOut})
    @only(ADMIN)
    def reconcile(query: ReconciliationQuery) -> ViewResult:
        """Compare the orders of the last days with what the payment provider says; nothing is wrong if nothing is named."""  # noqa: E501
        with reconciling:
            return reconciliation.reconcile(provider, now() - timedelta(days=query.days))
