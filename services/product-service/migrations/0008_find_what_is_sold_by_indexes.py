"""Find what is sold, and what is said of it, by indexes: descriptions are long, and are not read to be passed over."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ON_SALE = sa.text("archived_at IS NULL")
INDEXES = {
    "ix_products_on_sale": ["id"],
    "ix_products_by_category": ["category", "id"],
    "ix_products_by_price": ["price", "id"],
}
REVIEWS = op.f("ix_reviews_product_id_id")


def upgrade() -> None:
    op.drop_index(op.f("ix_products_category"), "products")
    for name, columns in INDEXES.items():
        op.create_index(name, "products", columns, sqlite_where=ON_SALE, postgresql_where=ON_SALE)
    op.create_index(REVIEWS, "reviews", ["product_id", "id"])


def downgrade() -> None:
    op.drop_index(REVIEWS, "reviews")
    for name in INDEXES:
        op.drop_index(name, "products")
    op.create_index(op.f("ix_products_category"), "products", ["category"])
