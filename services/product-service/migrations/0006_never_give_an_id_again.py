"""Never give an id again."""

from shopkit.migrate import never_reuse_ids, reuse_ids

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("products", "reviews", "favorites", "stock_movements")


def upgrade() -> None:
    never_reuse_ids(*TABLES)


def downgrade() -> None:
    reuse_ids(*TABLES)
