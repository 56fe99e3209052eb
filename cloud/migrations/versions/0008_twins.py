"""How often two outboxes of one gateway have taken turns."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which nothing is known of yet."""
    displaced: sa.Column[str] = sa.Column("displaced", sa.String(length=16), nullable=True)
    op.add_column("gateway_states", displaced)
    for name in ("turns", "turned_at"):
        column: sa.Column[int] = sa.Column(name, sa.BigInteger(), nullable=True)
        op.add_column("gateway_states", column)


def downgrade() -> None:
    """Drop the columns."""
    for name in ("turned_at", "turns", "displaced"):
        op.drop_column("gateway_states", name)
