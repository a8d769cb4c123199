"""Never give an id again."""

from shopkit.migrate import never_reuse_ids, reuse_ids

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("tickets", "messages")


def upgrade() -> None:
    never_reuse_ids(*TABLES)


def downgrade() -> None:
    reuse_ids(*TABLES)
