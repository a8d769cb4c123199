"""Keep answers together with what was done: compressed, and without a claim beforehand."""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOST_BYTES = 16 * 1024

keys = sa.table(
    "idempotency_keys",
    sa.column("id"),
    sa.column("locked_until"),
    sa.column("expires_at"),
    sa.column("status"),
    sa.column("headers"),
    sa.column("body", sa.LargeBinary()),
)


def upgrade() -> None:
    has_no_answer = sa.or_(keys.c.status.is_(None), keys.c.headers.is_(None), keys.c.body.is_(None))
    op.execute(sa.delete(keys).where(has_no_answer))
    for key, body in _bodies():
        compressed = zlib.compress(body)
        _set_body(key, compressed if len(compressed) <= MOST_BYTES else None)
    with op.batch_alter_table("idempotency_keys") as batch_op:
        batch_op.drop_column("locked_until")
        batch_op.alter_column("status", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("headers", existing_type=sa.JSON(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as batch_op:
        batch_op.add_column(sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True))
    op.execute(sa.update(keys).values(locked_until=keys.c.expires_at))
    for key, body in _bodies():
        _set_body(key, zlib.decompress(body))
    with op.batch_alter_table("idempotency_keys") as batch_op:
        batch_op.alter_column("locked_until", existing_type=sa.DateTime(timezone=True), nullable=False)
        batch_op.alter_column("status", existing_type=sa.Integer(), nullable=True)
        batch_op.alter_column("headers", existing_type=sa.JSON(), nullable=True)


def _bodies():
    """The answers one by one: all at once may be much."""
    connection = op.get_bind()
    for key in connection.scalars(sa.select(keys.c.id).where(keys.c.body.is_not(None))).all():
        yield key, connection.scalar(sa.select(keys.c.body).where(keys.c.id == key))


def _set_body(key, body) -> None:
    op.execute(sa.update(keys).where(keys.c.id == key).values(body=body))
