"""What a reconciliation of the payments is asked with and says."""

from uuid import UUID

from pydantic import Field

from shopkit.schemas import Amount, Output, Query, Timestamp


class ReconciliationQuery(Query):
    days: int = Field(30, ge=1, le=366)


class ContradictionOut(Output):
    """An order and its charge that do not agree; of what is missing, nothing is said."""

    reference: UUID
    order_id: int | None = None
    status: str | None = None
    payment_status: str | None = None
    total_amount: Amount | None = None
    charged: Amount | None = None
    declined: str | None = None
    refunded: bool | None = None


class PaymentReconciliationOut(Output):
    since: Timestamp
    orders: int
    charges: int
    # orders that somebody still works on, of which nothing can be said yet
    in_progress: int
    contradictions: list[ContradictionOut]
