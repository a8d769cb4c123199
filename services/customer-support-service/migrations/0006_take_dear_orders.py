"""Take orders whose total needs more than 32 bits."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _change(sa.Integer(), sa.BigInteger())


def downgrade() -> None:
    op.execute("DELETE FROM recent_orders WHERE total_amount > 2147483647")
    _change(sa.BigInteger(), sa.Integer())


def _change(old: sa.types.TypeEngine, new: sa.types.TypeEngine) -> None:
    with op.batch_alter_table("recent_orders") as orders:
        orders.alter_column("total_amount", existing_type=old, type_=new, existing_nullable=False)
