"""Note who has refreshed, so that one account does so a bounded number of times in a day."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = op.f("ix_revoked_tokens_user_id_used_at")


def upgrade() -> None:
    op.add_column("revoked_tokens", sa.Column("user_id", sa.Integer(), nullable=True))
    op.create_index(INDEX, "revoked_tokens", ["user_id", "used_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "revoked_tokens")
    op.drop_column("revoked_tokens", "user_id")
