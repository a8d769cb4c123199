"""Claim what orders buy: a cart is a row of its own, and an order claims lines of it."""

import sqlalchemy as sa
from alembic import op

from shopkit.migrate import never_reuse_ids

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_QUANTITY = sa.CheckConstraint("quantity BETWEEN 1 AND 99", name=op.f("ck_cart_items_quantity"))
_IS_FREE = sa.text("claim_reference IS NULL")


def upgrade() -> None:
    op.create_table(
        "carts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carts")),
        sa.UniqueConstraint("user_id", name=op.f("uq_carts_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "claims",
        sa.Column("reference", sa.Uuid(), nullable=False),
        sa.Column("cart_id", sa.Integer(), nullable=True),
        sa.Column("order_id", sa.Integer(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("fk_claims_cart_id")),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_claims")),
    )
    op.create_index(op.f("ix_claims_cart_id"), "claims", ["cart_id"])
    op.create_index(op.f("ix_claims_ended_at"), "claims", ["ended_at"])

    # An order that is pending at this moment has claimed nothing: -1 says that what it bought may still be in there.
    op.execute("INSERT INTO carts (user_id, version) SELECT DISTINCT user_id, -1 FROM cart_items ORDER BY user_id")
    with op.batch_alter_table("cart_items") as items:
        items.add_column(sa.Column("cart_id", sa.Integer(), nullable=True))
        items.add_column(sa.Column("claim_reference", sa.Uuid(), nullable=True))
    op.execute("UPDATE cart_items SET cart_id = (SELECT id FROM carts WHERE carts.user_id = cart_items.user_id)")
    with _rebuilt_items() as items:
        items.drop_constraint(op.f("uq_cart_items_user_id_product_id"), type_="unique")
        items.drop_column("user_id")
        items.alter_column("cart_id", existing_type=sa.Integer(), nullable=False)
        items.create_foreign_key(op.f("fk_cart_items_cart_id"), "carts", ["cart_id"], ["id"])
        items.create_foreign_key(op.f("fk_cart_items_claim_reference"), "claims", ["claim_reference"], ["reference"])
    never_reuse_ids("cart_items")
    op.create_index(op.f("ix_cart_items_cart_id"), "cart_items", ["cart_id"])
    op.create_index(op.f("ix_cart_items_claim_reference"), "cart_items", ["claim_reference"])
    op.create_index(
        "uq_cart_items_free",
        "cart_items",
        ["cart_id", "product_id"],
        unique=True,
        sqlite_where=_IS_FREE,
        postgresql_where=_IS_FREE,
    )


def downgrade() -> None:
    """What is claimed goes back, unless the same product is in the cart again."""
    op.execute(
        "DELETE FROM cart_items WHERE EXISTS (SELECT 1 FROM cart_items AS other"
        " WHERE other.cart_id = cart_items.cart_id AND other.product_id = cart_items.product_id"
        " AND other.id > cart_items.id)"
    )
    op.execute("DELETE FROM cart_items WHERE cart_id IN (SELECT id FROM carts WHERE user_id IS NULL)")
    for index in ("uq_cart_items_free", op.f("ix_cart_items_claim_reference"), op.f("ix_cart_items_cart_id")):
        op.drop_index(index, "cart_items")
    with op.batch_alter_table("cart_items") as items:
        items.add_column(sa.Column("user_id", sa.Integer(), nullable=True))
    op.execute("UPDATE cart_items SET user_id = (SELECT user_id FROM carts WHERE carts.id = cart_items.cart_id)")
    with _rebuilt_items() as items:
        items.drop_constraint(op.f("fk_cart_items_cart_id"), type_="foreignkey")
        items.drop_constraint(op.f("fk_cart_items_claim_reference"), type_="foreignkey")
        items.drop_column("cart_id")
        items.drop_column("claim_reference")
        items.alter_column("user_id", existing_type=sa.Integer(), nullable=False)
        items.create_unique_constraint(op.f("uq_cart_items_user_id_product_id"), ["user_id", "product_id"])
    op.drop_table("claims")
    op.drop_table("carts")


def _rebuilt_items():
    """SQLite rebuilds the table, and does not tell of its check constraint."""
    return op.batch_alter_table("cart_items", table_args=[_QUANTITY] if op.get_bind().dialect.name == "sqlite" else [])
