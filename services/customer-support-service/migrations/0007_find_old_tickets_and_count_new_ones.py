"""Find the tickets that were closed long ago, and what somebody has written lately."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    op.f("ix_tickets_closed_at"): ("tickets", ["closed_at"]),
    op.f("ix_tickets_user_id_created_at"): ("tickets", ["user_id", "created_at"]),
    op.f("ix_messages_user_id_created_at"): ("messages", ["user_id", "created_at"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
