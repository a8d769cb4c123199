"""Note whose a key is, so that one person has so many in a day."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEX = "ix_idempotency_keys_user_id_expires_at"


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("user_id", sa.Integer(), nullable=True))
    op.create_index(INDEX, "idempotency_keys", ["user_id", "expires_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "idempotency_keys")
    op.drop_column("idempotency_keys", "user_id")
