"""Never give an id again."""

from shopkit.migrate import never_reuse_ids, reuse_ids

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("users",)


def upgrade() -> None:
    never_reuse_ids(*TABLES)


def downgrade() -> None:
    reuse_ids(*TABLES)
