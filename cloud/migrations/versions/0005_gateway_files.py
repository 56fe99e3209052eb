"""The gateway.yaml files that pages made, and since when a gateway is online or offline."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; add the column, which nothing is known of yet."""
    op.create_table(
        "gateway_files",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("form", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateways.id"], name=op.f("fk_gateway_files_gateway_gateways")),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_gateway_files")),
    )
    column: sa.Column[int] = sa.Column("changed_at", sa.BigInteger(), nullable=True)
    with op.batch_alter_table("gateway_states") as table:
        table.add_column(column)


def downgrade() -> None:
    """Drop column and table."""
    with op.batch_alter_table("gateway_states") as table:
        table.drop_column("changed_at")
    op.drop_table("gateway_files")
