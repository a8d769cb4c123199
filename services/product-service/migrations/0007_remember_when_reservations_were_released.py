"""Remember when reservations were released; those that are count as released now. And find their movements."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RELEASED_AT = op.f("ix_reservations_released_at")
MOVEMENTS = op.f("ix_stock_movements_reservation_id")


def upgrade() -> None:
    op.add_column("reservations", sa.Column("released_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE reservations SET released_at = CURRENT_TIMESTAMP WHERE status = 'released'")
    op.create_index(RELEASED_AT, "reservations", ["released_at"])
    op.create_index(MOVEMENTS, "stock_movements", ["reservation_id"])


def downgrade() -> None:
    op.drop_index(MOVEMENTS, "stock_movements")
    op.drop_index(RELEASED_AT, "reservations")
    op.drop_column("reservations", "released_at")
