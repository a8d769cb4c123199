"""Count the orders that came to nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = op.f("ix_orders_for_nothing")
FOR_NOTHING = sa.text("status IN ('failed', 'cancelled')")


def upgrade() -> None:
    op.create_index(INDEX, "orders", ["user_id", "created_at"], sqlite_where=FOR_NOTHING, postgresql_where=FOR_NOTHING)


def downgrade() -> None:
    op.drop_index(INDEX, "orders")
