"""Find the events of Stripe that are so old that they can go."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = op.f("ix_stripe_events_created_at")


def upgrade() -> None:
    op.create_index(INDEX, "stripe_events", ["created_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "stripe_events")
