"""Until when a late event waits for its end, and when an order's event was heard, where that was late."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which nothing is known of yet."""
    waits_until: sa.Column[int] = sa.Column("waits_until", sa.BigInteger(), nullable=True)
    heard_at: sa.Column[int] = sa.Column("heard_at", sa.BigInteger(), nullable=True)
    op.add_column("events", waits_until)
    op.create_index("ix_events_waits_until", "events", ["waits_until"], unique=False)
    op.add_column("orders", heard_at)


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("orders", "heard_at")
    op.drop_index("ix_events_waits_until", table_name="events")
    op.drop_column("events", "waits_until")
