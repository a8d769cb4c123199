"""What the writers of tickets have ordered."""

from collections.abc import Sequence

import sqlalchemy as sa

from models import RecentOrder, db

SHOWN = 5


def recent_orders_of(user_id: int) -> Sequence[RecentOrder]:
    """Their last ones, the newest first."""
    newest_first = sa.select(RecentOrder).filter_by(user_id=user_id).order_by(RecentOrder.order_id.desc())
    return db.session.scalars(newest_first.limit(SHOWN)).all()
