"""Let an order keep its key's fingerprint and why it failed; and never give out an id again."""

import sqlalchemy as sa
from alembic import op

from shopkit.migrate import never_reuse_ids, reuse_ids

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("orders", "order_items", "order_events")


def upgrade() -> None:
    op.add_column("orders", sa.Column("key_fingerprint", sa.String(length=64), nullable=True))
    op.add_column("orders", sa.Column("problem", sa.JSON(), nullable=True))
    never_reuse_ids(*TABLES)
    # An order keeps its own key now, and cancelling needs none.
    op.drop_table("idempotency_keys")


def downgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"])
    reuse_ids(*TABLES)
    with op.batch_alter_table("orders") as orders:
        orders.drop_column("problem")
        orders.drop_column("key_fingerprint")
