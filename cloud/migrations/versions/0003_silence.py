"""Until when a gateway's silence means nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was heard before is no longer fresh."""
    column: sa.Column[int] = sa.Column("fresh_until", sa.BigInteger(), nullable=False, server_default="0")
    with op.batch_alter_table("gateway_states") as table:
        table.add_column(column)
    with op.batch_alter_table("gateway_states") as table:
        table.alter_column("fresh_until", server_default=None)


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("gateway_states") as table:
        table.drop_column("fresh_until")
