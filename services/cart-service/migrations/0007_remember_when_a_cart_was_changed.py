"""Remember when a cart was changed; those that are there count as changed now."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX = op.f("ix_carts_changed_at")


def upgrade() -> None:
    op.add_column("carts", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE carts SET changed_at = CURRENT_TIMESTAMP")
    op.create_index(INDEX, "carts", ["changed_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "carts")
    op.drop_column("carts", "changed_at")
