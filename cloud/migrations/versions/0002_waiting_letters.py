"""Dead letters that only wait for their gateway to be registered."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, in SQLite before the payload, so that it can be read without that."""
    column: sa.Column[bool] = sa.Column("waiting", sa.Boolean(), nullable=False, server_default=sa.false())
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table("dead_letters", recreate="always") as table:
            table.add_column(column, insert_before="payload")
    else:  # a copy of the table would number its next row 1 again
        op.add_column("dead_letters", column)
    with op.batch_alter_table("dead_letters") as table:
        table.alter_column("waiting", server_default=None)


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("dead_letters") as table:
        table.drop_column("waiting")
